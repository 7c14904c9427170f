"use strict";
(() => {
  const status = document.getElementById("status");

  // Column titles become buttons here, so that there is no dead button without scripts.
  const keyOf = (row, place, numeric) => {
    const cell = row.cells[place];
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return numeric ? null : cell.textContent.trim();
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const sortBy = (table, head) => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    const numeric = head.dataset.kind === "number";
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [keyOf(row, head.cellIndex, numeric), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return descending ? compare(b, a) : compare(a, b);
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
    const way = descending ? "descending" : "ascending";
    status.textContent = `Sorted by ${head.textContent.trim()}, ${way}`;
  };
  for (const table of document.querySelectorAll("main table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(table, head));
      head.append(button);
    }
  }

  // Cells of a table that is too wide break before their brackets; phones scroll instead.
  const tighten = () => {
    for (const box of document.querySelectorAll(".table .scroll")) {
      box.classList.remove("tight");
      box.classList.toggle("tight", box.scrollWidth > box.clientWidth);
    }
  };
  window.addEventListener("resize", tighten);
  tighten();

  // A box that scrolls can be reached by keyboard; one that does not is no stop on the way.
  const fitted = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
    }
  });
  for (const box of document.querySelectorAll(".scroll")) fitted.observe(box);

  // The theme lasts as long as the page: nothing is stored.
  const toggle = document.getElementById("theme");
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : prefersDark.matches;
  };
  const label = () => {
    toggle.textContent = isDark() ? "Light theme" : "Dark theme";
  };
  toggle.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  prefersDark.addEventListener("change", label);
  // What is folded away on the screen is on the paper.
  window.addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });

  toggle.hidden = false;
  label();
})();
