// What somebody said of movies. The browser keeps it by id and by title, so that another run, in
// which an id may be another movie's, finds the movies again.
import { find, known } from "./api.js";

const KEY = "movie_embed";
const LONGEST_PAST = 100;

export class Store {
  constructor(range, onChange) {
    [this.range, this.onChange] = [range, onChange];
    this.clear();
  }

  clear() {
    this.people = [new Map()]; // stars by id, a map a person
    this.active = 0; // whose stars are shown and given
    this.marks = new Map(); // "watch", "seen" or "no" by id
    this.absent = { people: [], marks: [] }; // entries of movies that this run does not have
    this.past = [];
    this.last = null;
    this.borrowed = false; // of a link: nothing is kept
  }

  get ratings() {
    return this.people[this.active];
  }

  get rated() {
    return this.people.reduce((sum, each) => sum + each.size, 0);
  }

  marked(mark) {
    return [...this.marks].filter(([, own]) => own === mark).map(([id]) => id);
  }

  hidden(id) {
    return this.marks.has(id) && this.marks.get(id) !== "watch";
  }

  // Change something that can be undone. Changes with one key, as steps of a slider, are one.
  change(told, act, key = null) {
    if (key === null || key !== this.last) this.past = [...this.past, this.copy()].slice(-LONGEST_PAST);
    this.last = key;
    act();
    this.save();
    this.onChange(told);
  }

  copy() {
    return { people: this.people.map((each) => new Map(each)), active: this.active, marks: new Map(this.marks) };
  }

  undo() {
    if (!this.past.length) return;
    Object.assign(this, this.past.pop());
    this.last = null;
    this.save();
    this.onChange("Undone.");
  }

  rate(id, stars, told) {
    this.change(told, () => {
      if (stars === null) this.ratings.delete(id);
      else this.ratings.set(id, stars);
      if (stars !== null) this.marks.delete(id); // who rates a movie has seen it
    }, `rate ${this.active} ${id}`);
  }

  mark(id, mark, told) {
    this.change(told, () => {
      if (mark === null) this.marks.delete(id);
      else this.marks.set(id, mark);
    });
  }

  // Returns whether it could be kept.
  save() {
    if (this.borrowed) return;
    const entry = ([id, value]) => [id, known.get(id)?.title ?? null, known.get(id)?.year ?? null, value];
    const people = this.people.map((each, i) => [...[...each].map(entry), ...(this.absent.people[i] ?? [])]);
    const kept = { high: this.range[1], people, marks: [...[...this.marks].map(entry), ...this.absent.marks] };
    try {
      localStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      this.failed = true; // private windows of some browsers, or no room
    }
  }

  // Read what the browser kept; return how many of its movies this run does not have.
  async load() {
    this.clear();
    let kept;
    try {
      kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
    } catch {
      kept = {};
    }
    const entries = (list) => (Array.isArray(list) ? list.filter((each) => Array.isArray(each) && each.length === 4) : []);
    const people = (Array.isArray(kept.people) ? kept.people : []).map(entries);
    const marks = entries(kept.marks);
    const all = [...people.flat(), ...marks];
    const found = all.length ? await find(all.map(([id, title, year]) => ({ movie_id: String(id), title, year }))) : [];
    const id = new Map(all.map((entry, i) => [entry, found[i]?.id]));
    const [low, high] = this.range;
    const stars = (value) => Math.min(Math.max((value * high) / (kept.high || high), low), high);
    const here = (list) => list.filter((entry) => id.get(entry) !== undefined);
    const away = (list) => list.filter((entry) => id.get(entry) === undefined);
    this.people = people.map((list) => new Map(here(list).map((entry) => [id.get(entry), stars(entry[3])])));
    if (!this.people.length) this.people = [new Map()];
    this.marks = new Map(here(marks).map((entry) => [id.get(entry), entry[3]]));
    this.absent = { people: people.map(away), marks: away(marks) };
    return away(all).length;
  }

  // Show the ratings of a link in place of the kept ones, if they differ.
  borrow(people) {
    const same = (a, b) => a.size === b.size && [...a].every(([id, stars]) => b.get(id) === stars);
    if (people.length === this.people.length && people.every((each, i) => same(each, this.people[i]))) return;
    [this.people, this.active, this.borrowed] = [people, 0, true];
  }

  keep() {
    [this.borrowed, this.past] = [false, []];
    this.save();
    this.onChange("These ratings are yours now.");
  }
}

// Tell when another tab has changed what is kept.
export const onOtherTab = (act) => addEventListener("storage", (event) => event.key === KEY && act());
