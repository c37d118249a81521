// The scheme that was chosen by hand, before anything is drawn; without one the system's is used.
"use strict";

const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
