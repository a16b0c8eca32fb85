#!/usr/bin/env -S node --
// `--`: Node 20 would take --env-file for its own, even behind the name of the script.
import "../dist/main.js";
