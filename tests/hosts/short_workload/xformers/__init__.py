"""The stand-in package; its extension is xformers._C."""
