# shellcheck shell=bash
# How commands are run and told of, on the host and in the container: run.sh and the post-create scripts source this
# file.

# told WORD...: says that this command runs. The echo is one write: the Dev Container CLI makes a line of each.
told() {
  local words
  printf -v words ' %q' "$@"
  printf '+%s\n' "$words"
}

# run COMMAND...: says what is about to run, then runs it.
run() {
  told "$@"
  "$@"
}

# What may have passed a moment later: a server in trouble, a connection that broke off. Where docker has tried again by
# itself, five times for each layer, no more is added.
TRANSIENT='(HTTP|[Ee]rror:|[Ss]tatus:?)[^0-9]{0,20}50[0234]\b|Service Unavailable|Bad Gateway|timed? ?out|reset by peer|early EOF|unexpected EOF|unexpected disconnect'
TRANSIENT+='|hung up|TLS handshake|[Tt]emporary failure in name resolution|server misbehaving|[Cc]onnection refused'

# again COMMAND...: runs it; where it fails by what may have passed, up to three times more, after a pause that grows. Each
# is a line `retry: ...` of the log, since it is part of what is timed.
again() {
  local pause said code
  said=$(mktemp)
  for pause in 5 20 60 ''; do
    code=0
    "$@" 2>&1 | tee "$said" || code=${PIPESTATUS[0]}
    if [ "$code" -eq 0 ] || [ -z "$pause" ] || grep -Eq 'Retrying in|: given up$|Operation too slow' "$said" || ! grep -Eq "$TRANSIENT" "$said"; then break; fi
    printf 'retry: in %s s again, after: %s\n' "$pause" "$(grep -E "$TRANSIENT" "$said" | tail -n 1)"
    sleep "$pause"
  done
  rm -f "$said"
  return "$code"
}
