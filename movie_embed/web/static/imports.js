// One check of what is imported: what each line of a file, or of a pasted list, was taken for.
import { ask, element, find, known, learn, named, plural, query } from "./api.js";
import { search } from "./search.js";
import { listenToStars, showStars, starsText } from "./stars.js";

const $ = (id) => document.getElementById(id);
const FIRST = 200; // lines that are shown at once

export class Imports {
  // `done(what, found)` gets "add", "replace", "watch" or "seen" and [[id, stars or null], ...].
  constructor(scale, hasRatings, done, fail) {
    Object.assign(this, { scale, hasRatings, done, fail, lines: [], all: false });
    const stars = { rate: (slider, value) => this.rateAll(value) };
    listenToStars($("rate-all").parentElement, scale, stars.rate);
    listenToStars($("lines"), scale, (slider, value) => {
      this.lines[Number(slider.closest("tr").dataset.line)].stars = value;
      this.show();
    });
    $("lines").addEventListener("click", ({ target }) => {
      if (target.matches(".change")) this.correct(this.lines[Number(target.closest("tr").dataset.line)], target.closest("td"));
    });
    $("all-lines").addEventListener("click", () => { this.all = true; this.show(); });
    $("check").addEventListener("close", () => this.end($("check").returnValue));
    $("paste").addEventListener("close", () => {
      const text = $("titles").value.trim();
      if ($("paste").returnValue === "read" && text) this.read(new Blob([`${text}\n`]), "titles.txt", false);
    });
    $("open-paste").addEventListener("click", () => { $("paste").returnValue = ""; $("paste").showModal(); });
  }

  async read(content, name, rated = true) {
    $("busy").hidden = false;
    try {
      const part = (first) => ask(`read?${query({ name: name.slice(-100), ...(rated ? {} : { rated: false }), first })}`, { method: "POST", body: content });
      const read = await part(0);
      while (read.matches.length < read.rows) read.matches.push(...(await part(read.matches.length)).matches);
      const strange = read.matches.map(({ movie_id }) => String(movie_id)).filter((id) => id !== "null" && !known.has(id));
      await find([...new Set(strange)].map((movie_id) => ({ movie_id })));
      this.open(read, rated ? name : "Your titles", rated);
    } catch (error) {
      this.fail(error);
    }
    $("busy").hidden = true;
  }

  open({ matches, notes }, name, rated) {
    Object.assign(this, { rated, all: false });
    // What needs a look comes first.
    this.lines = matches.map((match) => ({ ...match, id: match.movie_id === null ? null : String(match.movie_id), counts: match.movie_id !== null && (!rated || match.stars !== null) }));
    this.lines.sort((a, b) => a.counts - b.counts || a.line - b.line);
    $("check-name").textContent = name;
    $("notes").textContent = notes.join("\n");
    $("check").returnValue = "";
    this.show();
    $("check").showModal();
  }

  get found() {
    return this.lines.filter((line) => line.counts && (!this.rated || line.stars !== null));
  }

  show() {
    const { found, lines, rated } = this;
    const left = lines.length - found.length;
    $("check-count").textContent = `${plural(found.length, "movie")} found${left ? `, ${plural(left, "line")} left out` : ""}.`;
    $("lines").replaceChildren(...lines.slice(0, this.all ? Infinity : FIRST).map((line, i) => this.row(line, i)));
    $("all-lines").hidden = this.all || lines.length <= FIRST;
    $("all-lines").textContent = `Show all ${lines.length.toLocaleString("en")} lines`;
    $("rating-head").hidden = $("stars-head").hidden = !rated;
    for (const button of $("check").querySelectorAll("button[value]")) {
      if (button.value) button.hidden = button.value === "replace" ? !rated || !this.hasRatings() : (button.value === "add") !== rated;
      if (button.value) button.disabled = !found.length;
    }
    $("rate-all").parentElement.hidden = rated;
    showStars($("rate-all"), this.scale, null, "Rating for all of them");
  }

  row(line, i) {
    const change = element("button", { type: "button", className: "change", textContent: "Change", ariaLabel: `Change what line ${line.line} is taken for` });
    const cells = [
      element("td", { textContent: line.line }),
      element("td", { textContent: line.title }),
      ...(this.rated ? [element("td", { textContent: line.rating })] : []),
      element("td", {}, element("span", { textContent: line.counts ? named(known.get(line.id)) : "left out" }), " ", element("small", { textContent: line.how }), " ", change),
    ];
    if (this.rated) cells.push(this.starsCell(line));
    const row = element("tr", { className: line.counts ? "" : "left" }, ...cells);
    row.dataset.line = i;
    return row;
  }

  // A line that was given its movie by hand has no stars yet where the file's scale is not known.
  starsCell(line) {
    if (!line.byHand) return element("td", { textContent: line.counts && line.stars !== null ? starsText(line.stars, this.scale) : "" });
    const slider = element("div", { className: "stars", role: "slider", tabIndex: 0 });
    showStars(slider, this.scale, line.stars, `Rating of line ${line.line}`);
    return element("td", {}, slider);
  }

  correct(line, cell) {
    const input = element("input", { type: "text", maxLength: 200, autocomplete: "off", value: line.title.replace(/\s*\(\d{4}\)$/, "") });
    const list = element("ul", { id: "taken", hidden: true, className: "found", role: "listbox", ariaLabel: "Movies found" });
    for (const [name, value] of Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": "taken", "aria-autocomplete": "list", "aria-label": `The movie of line ${line.line}` })) input.setAttribute(name, value);
    const out = element("button", { type: "button", textContent: "Leave out" });
    cell.replaceChildren(element("div", { className: "search" }, input, list), out);
    const decided = (values) => {
      Object.assign(line, values);
      this.show();
      $("lines").querySelector(`[data-line="${this.lines.indexOf(line)}"] .change`).focus();
    };
    search(input, list, (text) => ask(`search?${query({ q: text })}`), (movie) => {
      const { id } = learn(movie);
      const alike = this.lines.find((other) => other.rating === line.rating && other.stars !== null);
      decided({ id, counts: true, how: "chosen by you", byHand: true, stars: line.stars ?? alike?.stars ?? null });
    });
    out.addEventListener("click", () => decided({ counts: false, how: "left out by you" }));
    input.focus();
    input.dispatchEvent(new Event("input"));
  }

  rateAll(value) {
    for (const line of this.lines) line.stars = value;
    $("check").close("rate");
  }

  end(what) {
    if (!what) return;
    this.done(what === "rate" ? "add" : what, this.found.map((line) => [line.id, line.stars]));
    $("titles").value = "";
  }
}
