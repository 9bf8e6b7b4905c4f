"use strict";
// Comforts only: the page says all it has to say without them.

const list = document.getElementById("fleet-list");
if (list) {
  const hosts = [...list.children];
  document.querySelector(".controls").hidden = false;

  document.getElementById("fleet-sort").addEventListener("change", (event) => {
    const key = event.target.value;
    const order = (a, b) => (key === "name" ? a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true })
      : b.dataset[key] - a.dataset[key]);
    list.append(...hosts.sort(order));
  });

  document.getElementById("fleet-filter")?.addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const host of hosts) host.hidden = !host.dataset.name.toLowerCase().includes(wanted);
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      for (const other of cell.parentNode.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].textContent;
      const order = (a, b) => text(a).localeCompare(text(b), undefined, { numeric: true });
      body.append(...[...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
    });
  });
}
