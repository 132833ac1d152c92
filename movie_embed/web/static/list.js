// Lists of movies, updated by key: a row that stays is the same element, so focus stays in it.
import { said, named } from "./api.js";
import { listenToStars, showStars } from "./stars.js";

export class MovieList {
  // `act` has `rate(id, stars)`, `mark(id, mark or null)`, `visit(id)`, `starsOf(id)` and `markOf(id)`.
  constructor(root, template, scale, act) {
    Object.assign(this, { root, template, scale, act, rows: new Map() });
    const idOf = (element) => element.closest(".movie").dataset.id;
    listenToStars(root, scale, (slider, stars) => act.rate(idOf(slider), stars));
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.matches(".title")) act.visit(idOf(button));
      if (button?.dataset.mark) act.mark(idOf(button), button.ariaPressed === "true" ? null : button.dataset.mark);
    });
    root.addEventListener("keydown", (event) => {
      const [button, way] = [event.target.closest("[data-mark]"), { ArrowRight: 1, ArrowLeft: -1 }[event.key]];
      if (!button || !way) return;
      event.preventDefault();
      const buttons = [...button.parentElement.children];
      const next = buttons[(buttons.indexOf(button) + way + buttons.length) % buttons.length];
      for (const each of buttons) each.tabIndex = each === next ? 0 : -1;
      next.focus();
    });
  }

  // Each item is a movie with its `id`, and perhaps `rank`, `number` and `why` as text.
  show(items) {
    const { root, rows } = this;
    const focused = document.activeElement;
    const row = root.contains(focused) ? focused.closest(".movie") : null;
    const place = row && [...root.children].indexOf(row);
    const wanted = new Set(items.map((item) => item.id));
    for (const [id, each] of rows) {
      if (wanted.has(id)) continue;
      each.remove();
      rows.delete(id);
    }
    let next = root.firstElementChild;
    for (const item of items) {
      if (!rows.has(item.id)) rows.set(item.id, this.template.content.firstElementChild.cloneNode(true));
      const each = rows.get(item.id);
      this.fill(each, item);
      if (each === next) next = next.nextElementSibling;
      // moveBefore keeps focus; where a browser lacks it, focus is given back below.
      else if (each.isConnected && root.moveBefore) root.moveBefore(each, next);
      else root.insertBefore(each, next);
    }
    if (!row) return;
    if (!row.isConnected) this.focusOn(place, focused);
    else if (document.activeElement !== focused) focused.focus({ preventScroll: true });
  }

  // The row in use is gone: go on with the same button of the row in its place.
  focusOn(place, before) {
    const row = this.root.children[Math.min(place, this.root.children.length - 1)];
    const same = before.dataset.mark ? `[data-mark="${before.dataset.mark}"]` : before.matches(".stars") ? ".stars" : ".title";
    const next = row?.querySelector(same) ?? document.getElementById("heading");
    next.focus({ preventScroll: true });
  }

  fill(row, movie) {
    const part = (name) => row.querySelector(`.${name}`);
    const text = (name, value) => { if (part(name).textContent !== value) part(name).textContent = value; };
    row.dataset.id = movie.id;
    text("rank", String(movie.rank ?? ""));
    text("title", said(movie.title));
    text("facts", [movie.year, (movie.genres ?? []).join(", "), movie.number].filter(Boolean).join(" · "));
    text("why", movie.why ?? "");
    showStars(part("stars"), this.scale, this.act.starsOf(movie.id), `Rating of ${named(movie)}`);
    part("marks").setAttribute("aria-label", named(movie));
    for (const button of part("marks").children) button.ariaPressed = String(this.act.markOf(movie.id) === button.dataset.mark);
  }
}
