// The filters: genres, years by numbers or on a histogram, number of ratings, variety, order.
import { empty } from "./address.js";
import { element } from "./api.js";

const $ = (id) => document.getElementById(id);
const BIN = 5; // years
const ORDERS = { match: "Best match", choice: "Likely choices", stars: "Predicted stars" };

export class FilterControls {
  constructor(health, change) {
    Object.assign(this, { health, change, columns: null, state: empty() });
    $("genres").replaceChildren(...health.genres.map((genre) => element("button", { type: "button", textContent: genre })));
    $("genres").addEventListener("click", ({ target }) => {
      const { genres } = this.state;
      const genre = target.closest("button")?.textContent;
      if (genre) change({ genres: genres.includes(genre) ? genres.filter((each) => each !== genre) : [...genres, genre] });
    });
    $("order").append(...health.orders.map((order) => new Option(ORDERS[order], order)));
    for (const id of ["from", "to"]) {
      [$(id).min, $(id).max] = health.years;
      $(id).placeholder = health.years[id === "from" ? 0 : 1] ?? "";
      $(id).addEventListener("change", () => change({ [id]: /^\d{1,4}$/.test($(id).value) ? $(id).value : "" }));
    }
    for (const id of ["min", "diversity"]) $(id).addEventListener("change", () => change({ [id]: Number($(id).value) }));
    $("lesser").addEventListener("change", () => change({ popularity: -Number($("lesser").value) }));
    $("order").addEventListener("change", () => change({ order: $("order").value }));
    this.listenToYears();
  }

  // The map's columns tell how many movies there are of what.
  fit(columns) {
    this.columns = columns;
    const most = columns.ratings.reduce((a, b) => Math.max(a, b), 0);
    const counts = [10, 50, 100, 500, 1000, 5000, 10000].filter((count) => count < most);
    $("min").append(...counts.map((count) => new Option(`${count.toLocaleString("en")} ratings`, count)));
    this.show(this.state);
  }

  show(state) {
    this.state = state;
    const { genres, from, to, min, diversity, popularity, order, focus, region } = state;
    const { orders } = this.health;
    for (const chip of $("genres").children) chip.ariaPressed = String(genres.includes(chip.textContent));
    if (min && ![...$("min").options].some((option) => Number(option.value) === min)) $("min").append(new Option(`${min.toLocaleString("en")} ratings`, min));
    Object.entries({ from, to, min, diversity, lesser: -popularity, order: order || orders[0] }).forEach(([id, value]) => { $(id).value = value; });
    // Both are of lists for a person; stars know nothing of popularity.
    $("ordering").hidden = focus !== null || orders.length < 2;
    $("knowing").hidden = focus !== null || (order || orders[0]) === "stars";
    const number = genres.length + Boolean(from || to) + Boolean(min) + Boolean(diversity) + Boolean(popularity) + Boolean(region);
    $("filtered").textContent = number ? `${number} set` : "";
    this.drawYears();
  }

  // Whether a row of the map's columns passes, without regard to the years if `anytime`.
  passes(row, anytime = false) {
    const { genres, from, to, min } = this.state;
    const { year, ratings, genres: of, genre_names: names } = this.columns;
    const timely = anytime || !(from || to) || (year[row] >= (from || -1) && year[row] <= (to || 9999) && year[row] !== null);
    return timely && ratings[row] >= min && (!genres.length || of[row].some((genre) => genres.includes(names[genre])));
  }

  get firstBin() {
    return Math.floor(this.health.years[0] / BIN) * BIN;
  }

  drawYears() {
    if (!this.columns || !this.health.years.length) return;
    const { from, to } = this.state;
    const [first, last] = [this.firstBin, this.health.years[1]];
    const counts = new Array(Math.floor((last - first) / BIN) + 1).fill(0);
    this.columns.year.forEach((year, row) => { if (year !== null && this.passes(row, true)) counts[Math.floor((year - first) / BIN)]++; });
    const most = Math.max(...counts, 1);
    const bars = counts.map((count, i) => {
      const start = first + i * BIN;
      const bar = element("i", { title: `${start} to ${start + BIN - 1}: ${count.toLocaleString("en")} movies` });
      bar.style.setProperty("--share", `${count ? Math.max((100 * count) / most, 4) : 0}%`);
      bar.classList.toggle("in", !(from || to) || (start + BIN - 1 >= (from || -1) && start <= (to || 9999)));
      return bar;
    });
    $("years").hidden = false;
    $("years").replaceChildren(...bars);
  }

  // A click on a bar takes its years, a drag over bars all of theirs, a click on what is set drops it.
  listenToYears() {
    let start = null;
    const binAt = (event) => {
      const box = $("years").getBoundingClientRect();
      const bins = $("years").children.length;
      return Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * bins), 0), bins - 1);
    };
    $("years").addEventListener("pointerdown", (event) => {
      $("years").setPointerCapture(event.pointerId);
      start = binAt(event);
    });
    $("years").addEventListener("pointermove", (event) => {
      if (start === null) return;
      const [a, b] = [start, binAt(event)].sort((x, y) => x - y);
      [...$("years").children].forEach((bar, i) => bar.classList.toggle("in", i >= a && i <= b));
    });
    $("years").addEventListener("pointerup", (event) => {
      if (start === null) return;
      const [a, b] = [start, binAt(event)].sort((x, y) => x - y).map((bin) => this.firstBin + bin * BIN);
      const years = { from: String(a), to: String(b + BIN - 1) };
      const same = years.from === this.state.from && years.to === this.state.to;
      start = null;
      this.change(same ? { from: "", to: "" } : years);
    });
    $("years").addEventListener("pointercancel", () => { start = null; this.drawYears(); });
  }
}
