// The page: questions to the server about the state of the view, and their answers.
import { empty, fromAddress, toAddress } from "./address.js";
import { ask, find, known, learn, named, plural, post, query, said } from "./api.js";
import { movieCard, showCard } from "./card.js";
import { saveMovies, saveRatings } from "./files.js";
import { FilterControls } from "./filters.js";
import { Imports } from "./imports.js";
import { MovieList } from "./list.js";
import { MovieMap, legendItem } from "./map.js";
import { search } from "./search.js";
import { onOtherTab, Store } from "./store.js";
import { scaleOf, starsText } from "./stars.js";

const $ = (id) => document.getElementById(id);
const MOST_IDS = 1000; // that the server takes in one filter
const FIRST_RATED = 50;
const STARTERS = 12;
const pinned = new Map(); // movies rated since the question was asked: they stay where they were
let state = empty();
let [health, scale, store, filters, imports, lists] = [];
let map = null;
let mapped = null; // the promise of the map
let view = null; // of the map, once somebody moved it
let answers = [];
let starters = [];
let [starting, allRated] = [false, false];
let [asking, soon, later] = [null, 0, 0];
let written = "";
let [visited, heard] = [null, false]; // the movie the map has gone to; whether the heading gets focus

function fail(error) {
  if (error.name === "AbortError") return;
  $("failure").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
  $("failure").hidden = false;
}

function tell(told, undo = false) {
  if (store?.failed) told += " This browser keeps nothing: save a file, or the address.";
  $("told").textContent = told;
  $("undo").hidden = !undo || !store.past.length;
  $("toast").hidden = !told;
}

// --- changes

function change(values) {
  state = { ...state, k: 20, ...values };
  pinned.clear();
  starting &&= state.focus === null;
  write(true);
  refresh();
}

// The address is that of the view, so that it can be shared. Ratings make no steps of the history:
// they are undone by a button.
function write(push = false) {
  const address = toAddress(state, store.people, view);
  if (address === written) return;
  written = address;
  history[push ? "pushState" : "replaceState"]({ own: !store.borrowed }, "", address);
}

function stored(told) {
  tell(told, true);
  showLists();
  clearTimeout(soon); // the steps of a slider are one question
  soon = setTimeout(() => { write(); refresh(); }, 150);
}

function rate(id, stars) {
  const place = shown().findIndex((movie) => movie.id === id);
  if (place >= 0 && state.focus === null && !pinned.has(id)) pinned.set(id, { place, movie: shown()[place] });
  store.rate(id, stars, `${named(known.get(id))}: ${stars === null ? "no rating" : starsText(stars, scale)}.`);
}

function mark(id, value) {
  const told = { watch: "is on your watchlist", seen: "is hidden as seen", no: "is hidden as not for you" }[value] ?? "is as before";
  store.mark(id, value, `${named(known.get(id))} ${told}.`);
}

function visit(id) {
  heard = true;
  change({ focus: id });
}

// --- questions

async function filtersAsked() {
  const { genres, from, to, min, diversity, k, region } = state;
  const [first, last] = [from || Math.min(health.years[0], to), to || Math.max(health.years[1], from)];
  if (from && to && Number(from) > Number(to)) return null; // no movie is of such years
  const asked = { k, genres, min_count: min, diversity, explain: true };
  if (from || to) asked.years = `${first}-${last}`;
  if (region) {
    const inside = (await mapped).within(region);
    asked.among = inside.slice(0, MOST_IDS);
    const which = inside.length > MOST_IDS ? `The ${plural(MOST_IDS, "most rated movie")} of a part` : "Only a part";
    $("region").textContent = `${which} of the map ✕`;
  }
  asked.exclude = [...store.marked("seen"), ...store.marked("no")].slice(-MOST_IDS);
  return asked.among?.length === 0 ? null : asked;
}

function forPeople(asked) {
  const people = store.people.filter((each) => each.size).map((each) => Object.fromEntries(each));
  return { ratings: people.length > 1 ? people : (people[0] ?? {}), together: state.together, ...asked };
}

// Ask about movies that only their ids are known of; return the ids that this run does not have.
async function meet(ids, options) {
  const strange = [...new Set(ids)].filter((id) => !known.has(id));
  const found = strange.length ? await find(strange.map((movie_id) => ({ movie_id })), options) : [];
  return strange.filter((_, i) => !found[i]);
}

async function refresh() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const busy = setTimeout(() => { $("busy").hidden = false; }, 200);
  $("list").ariaBusy = "true";
  filters.show(state);
  fade();
  try {
    const { focus, order, popularity } = state;
    const asked = await filtersAsked();
    if (!asked) answers = [];
    else if (focus) answers = (await ask(`similar?${query({ movie_id: focus, ...asked })}`, { signal })).map(learn);
    else {
      const own = { ...(order ? { order } : {}), ...(popularity && order !== "stars" ? { popularity } : {}) };
      answers = (await post("recommendations", forPeople({ ...asked, ...own }), { signal })).map(learn);
    }
    if (starting && !starters.length) {
      const popular = { ratings: {}, k: STARTERS, diversity: 0.5 };
      starters = (await post("recommendations", popular, { signal })).map(learn);
    }
    await showFocus(focus, signal);
    $("failure").hidden = true;
    showAnswers();
  } catch (error) {
    fail(error);
    if (error.name === "AbortError") return;
  }
  clearTimeout(busy);
  $("busy").hidden = true;
  $("list").ariaBusy = "false";
}

async function showFocus(focus, signal) {
  if (!focus) return;
  const movie = await movieCard(focus, { signal });
  let why = "";
  if (store.rated && !store.people.some((each) => each.has(focus))) {
    const asked = forPeople({ k: 1, among: [focus], explain: true });
    const [mine] = await post("recommendations", asked, { signal });
    if (mine) why = [numberOf(mine) && `For you: ${numberOf(mine)} predicted`, becauseOf(mine)].filter(Boolean).join(", ");
  }
  showCard($("about-movie"), movie, why, health.poster ?? "");
}

// --- what is seen

const numberOf = ({ predicted_stars: stars, similarity }) => (stars !== undefined ? `${stars.toFixed(1)}\u00a0★` : similarity !== undefined ? `${Math.round(100 * similarity)}\u00a0% alike` : "");

function becauseOf({ reasons = [] }) {
  const main = reasons.filter((reason) => reason.share >= 0.05); // of hundreds of ratings none may be
  const told = (main.length ? main : reasons.slice(0, 1)).map(({ movie_id, title, share }) => `${said(known.get(String(movie_id))?.title ?? title)} ${Math.round(100 * share)}\u00a0%`);
  return told.length ? `because of ${told.join(", ")}` : "";
}

// The answers, with movies rated meanwhile where they were, and without what was hidden meanwhile.
function shown() {
  const items = answers.filter((movie) => !store.hidden(movie.id) && !pinned.has(movie.id));
  items.forEach((movie, i) => { movie.rank = i + 1; });
  for (const { place, movie } of [...pinned.values()].sort((a, b) => a.place - b.place)) {
    if (!store.hidden(movie.id)) items.splice(place, 0, { ...movie, rank: "" });
  }
  return items;
}

function showAnswers() {
  const { focus } = state;
  const heading = focus ? `Like ${named(known.get(focus))}` : store.people.length > 1 && store.people.every((each) => each.size) ? "For you two" : store.rated ? "For you" : "Popular and well liked";
  const items = shown();
  if ($("heading").textContent !== heading) $("heading").textContent = heading;
  document.title = focus ? `${heading} · movie_embed` : "movie_embed";
  $("leave").hidden = !focus;
  $("leave").textContent = store.rated ? "Back to yours" : "Back";
  $("card").hidden = !focus;
  const hint = store.rated ? `From ${plural(store.rated, "rating")}.` : "Give stars to a few movies you know, and the list follows you.";
  $("about").textContent = items.length ? (focus ? "Movies most like it, by what people rated." : hint) : "Nothing found: loosen the filters.";
  $("region").hidden = !state.region;
  $("more").hidden = answers.length < state.k || state.k >= 200;
  $("csv").hidden = !items.length;
  $("status").textContent = `${heading}: ${items.length ? plural(items.length, "movie") : "nothing found"}`;
  showLists();
  showMarks();
  if (!heard) return;
  heard = false;
  $("heading").scrollIntoView({ block: "start" });
  $("heading").focus({ preventScroll: true });
}

function showLists() {
  const item = (movie) => ({ ...movie, number: numberOf(movie), why: becauseOf(movie) });
  const of = (id) => ({ ...known.get(id), id });
  lists.main.show(shown().map(item));
  lists.self.show(state.focus ? [of(state.focus)] : []);
  $("start").hidden = !starting;
  if (starting) lists.start.show(starters);
  const rated = [...store.ratings.keys()].reverse();
  $("count").textContent = store.ratings.size.toLocaleString("en");
  lists.rated.show($("mine").open ? rated.slice(0, allRated ? Infinity : FIRST_RATED).map(of) : []);
  $("all-rated").hidden = allRated || rated.length <= FIRST_RATED;
  $("all-rated").textContent = `Show all ${rated.length.toLocaleString("en")}`;
  const [watch, hidden] = [store.marked("watch"), [...store.marked("seen"), ...store.marked("no")]];
  [$("watch-count").textContent, $("hidden-count").textContent] = [watch.length, hidden.length].map(String);
  lists.watch.show(watch.reverse().map(of));
  lists.hidden.show(hidden.reverse().map(of));
  for (const [id, list] of [["save-watch", watch], ["save-hidden", store.marked("seen")], ["save", rated]]) $(id).hidden = !list.length;
  $("clear").hidden = !rated.length;
  $("take-back").hidden = !store.past.length;
  const two = store.people.length > 1;
  $("people").hidden = $("joining").hidden = !two;
  $("second").textContent = two ? "Remove the second person" : "Add a second person";
  for (const radio of $("people").querySelectorAll("input")) radio.checked = Number(radio.value) === store.active;
  $("together").value = state.together;
  $("borrowed").hidden = !store.borrowed;
}

function showMarks() {
  if (!map) return;
  const ids = shown().map((movie) => movie.id);
  const { focus, region } = state;
  map.mark({ focus, near: focus ? ids : [], rated: store.people.flatMap((each) => [...each.keys()]), recommended: focus ? [] : ids, region });
  if (focus && focus !== visited && !(visited === null && view)) map.flyTo(focus);
  visited = focus;
}

const fade = () => map?.filter((row) => filters.passes(row) && (!state.region || map.isWithin(row, state.region)));

function showMap(columns) {
  columns.movie_id.forEach((id, i) => {
    if (!known.has(String(id))) known.set(String(id), { title: columns.title[i], year: columns.year[i], genres: columns.genres[i].map((g) => columns.genre_names[g]) });
  });
  map = new MovieMap(document.querySelector(".ground"), columns, { onPick: (id) => change({ focus: id }), onMove: (moved) => { view = moved; clearTimeout(later); later = setTimeout(write, 300); } });
  window.movieMap = map;
  if (view) map.look(view);
  $("legend").replaceChildren(...columns.genre_names.map((genre, i) => legendItem(map, i, genre)));
  for (const chip of $("genres").children) chip.prepend(legendItem(map, columns.genre_names.indexOf(chip.textContent), ""));
  $("map-tools").hidden = false;
  filters.fit(columns);
  fade();
  showMarks();
  return map;
}

// --- people and their ratings

function imported(what, found) {
  const told = `${plural(found.length, "movie")} ${{ add: "added to your ratings", replace: "are your ratings now", watch: "added to your watchlist", seen: "hidden as seen" }[what]}.`;
  pinned.clear();
  starting = false;
  if (what === "add" || what === "replace") $("mine").open = true;
  store.change(told, () => {
    if (what === "replace") store.ratings.clear();
    for (const [id, stars] of found) {
      if (what === "watch" || what === "seen") store.marks.set(id, what);
      else {
        store.ratings.set(id, stars);
        store.marks.delete(id);
      }
    }
  });
  if (state.focus) change({ focus: null });
}

function confirmed(question, yes) {
  $("question").textContent = question;
  $("yes").textContent = yes;
  $("confirm").returnValue = "";
  $("confirm").showModal();
  return new Promise((done) => $("confirm").addEventListener("close", () => done($("confirm").returnValue === "yes"), { once: true }));
}

async function removeAll() {
  const count = plural(store.ratings.size, "rating");
  if (await confirmed(`Remove ${count}?`, "Remove them")) store.change(`${count} removed.`, () => store.ratings.clear());
}

async function second() {
  if (store.people.length > 1) {
    const many = store.people[1].size;
    if (many && !(await confirmed(`Remove the second person and ${plural(many, "rating")}?`, "Remove them"))) return;
    store.change("The list is for one person again.", () => { [store.people, store.active] = [[store.people[0]], 0]; });
  } else store.change("Stars, and a file that you drop, are the second person's now.", () => { [store.people, store.active] = [[store.people[0], new Map()], 1]; });
}

async function exported(ids) {
  const bare = ids.filter((id) => known.get(id).imdb_id === undefined); // from the map
  await find(bare.map((movie_id) => ({ movie_id })));
  return ids.map((id) => [id, known.get(id), store.ratings.get(id)]);
}

function listen() {
  const on = (id, act, event = "click") => $(id).addEventListener(event, (happened) => Promise.resolve(act(happened)).catch(fail));
  on("reset", () => change({ ...empty(), focus: state.focus }));
  on("leave", () => change({ focus: null }));
  on("region", () => change({ region: null }));
  on("started", () => change({ ...(starting = false) }));
  on("more", () => { state.k += 30; return refresh(); });
  on("undo", () => store.undo());
  on("take-back", () => store.undo());
  on("hush", () => tell(""));
  on("clear", removeAll);
  on("second", second);
  on("people", ({ target }) => { store.active = Number(target.value); showLists(); }, "change");
  on("together", () => change({ together: $("together").value }), "change");
  on("keep", () => store.keep());
  on("return", async () => { await store.load(); await stored("These are your ratings."); });
  on("all-rated", () => { allRated = true; showLists(); });
  on("mine", showLists, "toggle");
  on("closer", () => map.zoomBy(1.5));
  on("farther", () => map.zoomBy(1 / 1.5));
  on("whole", () => map.look(null, true));
  on("here", () => change({ region: map.visible() }));
  on("csv", async () => saveMovies("movies.csv", await exported(shown().map((movie) => movie.id))));
  on("save", async () => saveRatings("ratings.csv", await exported([...store.ratings.keys()]), scale.high));
  on("save-watch", async () => saveMovies("watchlist.csv", await exported(store.marked("watch"))));
  on("save-hidden", async () => saveMovies("seen.csv", await exported(store.marked("seen"))));
  on("file", () => { const [file] = $("file").files; $("file").value = ""; return file && imports.read(file, file.name); }, "change");
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) imports.read(file, file.name);
  });
  addEventListener("popstate", () => arrive().catch(fail));
  onOtherTab(async () => { if (!store.borrowed) { await store.load(); stored("Taken over from another tab."); } });
  search($("search"), $("found"), (text) => ask(`search?${query({ q: text })}`).catch(fail), (movie) => visit(learn(movie).id));
}

// Take up the state of the address: at the start, on going back, and for a link.
async function arrive() {
  const link = fromAddress(health);
  const told = link.wrong.length ? [`The link holds what is unknown here: ${link.wrong.slice(0, 5).join(", ")}.`] : [];
  const own = Boolean(history.state?.own);
  if (!own || !store.people.length || !store.loaded) {
    const absent = await store.load();
    store.loaded = true;
    if (absent) told.push(`${plural(absent, "movie")} that you rated or marked ${absent === 1 ? "is" : "are"} not in this data; they are kept.`);
  }
  const people = own ? null : link.people;
  const strange = await meet([...(people ?? []).flatMap((each) => [...each.keys()]), ...(link.state.focus ? [link.state.focus] : [])]);
  if (strange.length) told.push(`The link has ${plural(strange.length, "movie")} that this data lacks: ${strange.slice(0, 5).join(", ")}.`);
  for (const each of people ?? []) strange.forEach((id) => each.delete(id));
  if (strange.includes(link.state.focus)) link.state.focus = null;
  if (people?.some((each) => each.size)) store.borrow(people);
  [state, view, starting] = [link.state, link.view, !store.rated && !link.state.focus];
  pinned.clear();
  if (told.length) tell(told.join(" "));
  if (map && view) map.look(view);
  write();
  await refresh();
}

try {
  health = await ask("health");
  scale = scaleOf(health.rating_range);
  store = new Store(health.rating_range, stored);
  filters = new FilterControls(health, change);
  imports = new Imports(scale, () => store.ratings.size > 0, imported, fail);
  const act = { rate, mark, visit, starsOf: (id) => store.ratings.get(id) ?? null, markOf: (id) => store.marks.get(id) };
  const list = (id) => new MovieList($(id), $("row"), scale, act);
  lists = { main: list("list"), self: list("self"), start: list("starters"), rated: list("rated"), watch: list("watched"), hidden: list("hiddens") };
  listen();
  const arrived = () => arrive().catch(fail);
  const drawn = () => ask("map").then(showMap);
  if (fromAddress(health).state.region) { // which movies these are, the map knows
    mapped = drawn();
    await arrived();
  } else {
    await arrived();
    mapped = drawn(); // the list does not wait for it
  }
  await mapped;
} catch (error) {
  fail(error);
}
