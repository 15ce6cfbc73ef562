"use strict";
// Without this script every table is whole and in its first order: sorting and filtering only rearrange it.
for (const listing of document.querySelectorAll(".listing")) {
  const body = listing.querySelector("tbody");
  const rows = [...body.rows];
  const heads = [...listing.querySelectorAll("thead th")];
  const tools = listing.querySelector(".tools");
  const filter = tools.querySelector("input");
  const order = tools.querySelector("select");
  const shown = tools.querySelector("output");
  const said = rows.map((row) => row.textContent.toLowerCase());

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return "text" in heads[column].dataset ? cell.textContent.trim() : cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
  };

  // What was not measured comes last, whatever the order.
  const compare = (one, other, sign) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return sign * (typeof one === "string" ? one.localeCompare(other, undefined, { numeric: true }) : one - other);
  };

  const sort = (column, direction) => {
    const sign = direction === "descending" ? -1 : 1;
    const keyed = rows.map((row) => [keyOf(row, column), row]);
    body.append(...keyed.sort((one, other) => compare(one[0], other[0], sign)).map((pair) => pair[1]));
    heads.forEach((head, place) => (place === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
    order.value = String(column);
  };

  const restore = () => {
    body.append(...rows);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
  };

  const first = (column) => ("descending" in heads[column].dataset ? "descending" : "ascending");
  const other = { ascending: "descending", descending: "ascending" };

  order.add(new Option("fastest first", ""));
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(column, other[head.getAttribute("aria-sort")] ?? first(column)));
    order.add(new Option(head.dataset.name, String(column)));
  });
  order.addEventListener("change", () => (order.value === "" ? restore() : sort(Number(order.value), first(Number(order.value)))));

  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, place) => (row.hidden = !words.every((word) => said[place].includes(word))));
    const count = rows.filter((row) => !row.hidden).length;
    shown.value = count === rows.length ? `${count} rows` : `${count} of ${rows.length} rows`;
  };
  filter.addEventListener("input", apply);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      filter.value = "";
      apply();
    }
  });

  tools.hidden = false;
  apply();
}
