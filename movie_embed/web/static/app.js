// The page: its state is in the address, and every change of it asks the server anew.
import { GENRE_COLORS, MovieMap, said } from "./map.js";
import { search } from "./search.js";

const $ = (id) => document.getElementById(id);
const empty = () => ({ ratings: new Map(), focus: null, genres: [], from: "", to: "", min: 0, diversity: 0, order: "", k: 20 });
const known = new Map(); // what has been seen of movies, by id
let state = empty();
let health = null;
let map = null;
let answers = [];
let asking = null;
let visited = null; // which movie the map has gone to

async function ask(path, options = {}) {
  const response = await fetch(`/api/${path}`, options);
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

const query = (values) => {
  const pairs = Object.entries(values).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
  return new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null)).toString();
};

function fail(error) {
  if (error.name === "AbortError") return;
  $("failure").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
  $("failure").hidden = false;
}

// --- the state in the address

function toAddress() {
  const { ratings, focus, genres, from, to, min, diversity, order } = state;
  const parts = [...ratings].map(([id, stars]) => `${encodeURIComponent(id)}:${stars}`);
  const values = { r: parts.join(","), like: focus, genre: genres, from, to, min: min || "", varied: diversity || "", order };
  const text = query(values);
  return text ? `?${text}` : location.pathname;
}

function fromAddress() {
  const given = new URLSearchParams(location.search);
  const number = (name) => Math.max(Number(given.get(name)) || 0, 0);
  const year = (name) => (/^\d{1,4}$/.test(given.get(name) ?? "") ? given.get(name) : "");
  const [low, high] = health.rating_range;
  const read = empty();
  for (const part of (given.get("r") ?? "").split(",")) {
    const [id, stars] = [part.slice(0, part.lastIndexOf(":")), Number(part.slice(part.lastIndexOf(":") + 1))];
    try {
      if (id && stars >= low && stars <= high) read.ratings.set(decodeURIComponent(id), stars);
    } catch { /* no address of ours */ }
  }
  read.focus = given.get("like");
  read.genres = given.getAll("genre").filter((genre) => health.genres.includes(genre));
  [read.from, read.to] = [year("from"), year("to")];
  [read.min, read.diversity] = [Math.floor(number("min")), Math.min(number("varied"), 1)];
  read.order = health.orders.includes(given.get("order")) ? given.get("order") : "";
  return read;
}

function change(values) {
  state = { ...state, k: 20, ...values };
  if (toAddress() !== location.search) history.pushState(null, "", toAddress());
  refresh();
}

function rate(id, stars) {
  const ratings = new Map(state.ratings);
  if (stars === null) ratings.delete(id);
  else ratings.set(id, stars);
  change({ ratings });
}

// --- questions

function filters() {
  const { genres, from, to, min, diversity, k } = state;
  const [first, last] = [from || health.years[0], to || health.years[1]];
  const years = (from || to) && first <= last ? `${first}-${last}` : null;
  return { k, genres, min_count: min, diversity, explain: true, ...(years ? { years } : {}) };
}

async function refresh() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  showControls();
  try {
    const { focus, ratings, order } = state;
    const body = { ratings: Object.fromEntries(ratings), ...filters(), ...(order ? { order } : {}) };
    const post = { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal };
    const found = focus ? await ask(`similar?${query({ movie_id: focus, ...filters() })}`, { signal }) : await ask("recommendations", post);
    await Promise.all([...ratings.keys(), ...(focus ? [focus] : [])].filter((id) => !known.has(id)).map(async (id) => learn(await ask(`movies/${encodeURIComponent(id)}`, { signal }))));
    answers = found.map(learn);
    $("failure").hidden = true;
    showAnswers();
  } catch (error) {
    fail(error);
  }
}

function learn(movie) {
  const id = String(movie.movie_id);
  known.set(id, { title: movie.title, year: movie.year, genres: movie.genres });
  return { ...movie, id };
}

const named = ({ title, year }) => (year ? `${said(title)} (${year})` : said(title));

// --- what is seen

function showAnswers() {
  const { focus, ratings } = state;
  const like = focus ? named(known.get(focus)) : "";
  const heading = focus ? `Like ${like}` : ratings.size ? "For you" : "Popular and well liked";
  $("heading").textContent = heading;
  document.title = focus ? `${heading} · movie_embed` : "movie_embed";
  $("leave").hidden = !focus;
  $("leave").textContent = ratings.size ? "Back to yours" : "Back";
  const hint = ratings.size ? `From ${ratings.size} rating${ratings.size > 1 ? "s" : ""} of yours.` : "Give stars to a few movies you know, and the list follows you.";
  $("about").textContent = answers.length ? (focus ? "Rate it, or follow a line on the map." : hint) : "No movie is left: loosen the filters.";
  $("list").replaceChildren(...(focus ? [row({ ...known.get(focus), id: focus, reasons: [] }, "●")] : []), ...answers.map((movie) => row(movie, movie.rank)));
  $("rated").replaceChildren(...[...ratings.keys()].reverse().map((id) => row({ ...known.get(id), id })));
  $("count").textContent = ratings.size;
  $("more").hidden = answers.length < state.k || state.k >= 200;
  $("status").textContent = `${heading}: ${answers.length} movies`;
  const ids = answers.map((movie) => movie.id);
  map.mark({ focus, near: focus ? ids : [], rated: [...ratings.keys()], recommended: focus ? [] : ids });
  if (focus && focus !== visited) map.flyTo(focus);
  visited = focus;
}

function row(movie, rank) {
  const item = $("row").content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(`.${name}`);
  part("rank").textContent = rank ?? "";
  part("title").textContent = said(movie.title);
  part("title").addEventListener("click", () => visit(movie.id));
  const number = movie.predicted_stars ? `${movie.predicted_stars.toFixed(1)}\u00a0★` : movie.similarity ? `${Math.round(100 * movie.similarity)}\u00a0% alike` : "";
  part("facts").textContent = [movie.year, movie.genres.join(", "), number].filter(Boolean).join(" · ");
  const reasons = (movie.reasons ?? []).filter((reason) => reason.share >= 0.05);
  const told = reasons.map(({ movie_id, title, share }) => `${said(known.get(String(movie_id))?.title ?? title)} ${Math.round(100 * share)}\u00a0%`);
  part("why").textContent = told.length ? `because of ${told.join(", ")}` : "";
  stars(part("stars"), movie);
  return item;
}

// Whole stars by key or click, half ones by a click on the left half; the same again takes it back.
function stars(group, movie) {
  const [low, high] = health.rating_range;
  const number = high > 10 ? 5 : Math.floor(high);
  const given = state.ratings.get(movie.id) ?? 0;
  group.setAttribute("aria-label", `Your rating of ${named(movie)}`);
  for (let i = 1; i <= number; i++) {
    const button = document.createElement("button");
    button.type = "button";
    const [half, whole] = [i - 0.5, i].map((n) => (n * high) / number);
    button.className = given >= whole ? "full" : given >= half ? "half" : "";
    button.setAttribute("aria-label", `${i} of ${number} stars`);
    button.setAttribute("aria-pressed", String(given === whole || given === half));
    button.addEventListener("click", (event) => {
      const left = event.detail && event.offsetX < button.clientWidth * 0.4 && half >= low && low < 1;
      const value = Math.max(left ? half : whole, low);
      rate(movie.id, value === given ? null : value);
    });
    group.append(button);
  }
}

const visit = (id) => change({ focus: id });

function showControls() {
  const { genres, from, to, min, diversity, order } = state;
  for (const chip of $("genres").children) chip.setAttribute("aria-pressed", String(genres.includes(chip.textContent)));
  Object.entries({ from, to, min, diversity, order: order || health.orders[0] }).forEach(([id, value]) => { $(id).value = value; });
  const number = genres.length + Boolean(from || to) + Boolean(min) + Boolean(diversity);
  $("filtered").textContent = number ? `${number} set` : "";
  const { year, ratings, genres: of, genre_names: names } = map.columns;
  const wanted = genres.map((genre) => names.indexOf(genre));
  const [first, last] = [from || -1, to || 9999];
  map.filter((i) => (!wanted.length || of[i].some((g) => wanted.includes(g))) && (!(from || to) || (year[i] >= first && year[i] <= last)) && ratings[i] >= min);
}

function makeControls() {
  const names = map.columns.genre_names;
  $("genres").replaceChildren(...names.map((genre) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.textContent = genre;
    chip.addEventListener("click", () => change({ genres: state.genres.includes(genre) ? state.genres.filter((g) => g !== genre) : [...state.genres, genre] }));
    return chip;
  }));
  $("legend").append(...names.slice(0, GENRE_COLORS).map((genre) => Object.assign(document.createElement("span"), { textContent: genre })));
  const color = () => {
    for (const list of [$("genres"), $("legend")]) [...list.children].forEach((item, i) => item.style.setProperty("--dot", map.palette()[Math.min(i, GENRE_COLORS)]));
  };
  map.dark.addEventListener("change", color);
  color();
  const most = map.columns.ratings.reduce((a, b) => Math.max(a, b), 0);
  const counts = [10, 50, 100, 500, 1000, 5000, 10000].filter((count) => count < most);
  $("min").append(...counts.map((count) => new Option(`${count.toLocaleString("en")} ratings`, count)));
  const orders = { match: "Best match", choice: "Likely choices", stars: "Predicted stars" };
  $("order").append(...health.orders.map((order) => new Option(orders[order], order)));
  for (const id of ["from", "to"]) {
    [$(id).min, $(id).max] = health.years;
    $(id).placeholder = health.years[id === "from" ? 0 : 1] ?? "";
    $(id).addEventListener("change", () => change({ [id]: /^\d{1,4}$/.test($(id).value) ? $(id).value : "" }));
  }
  for (const id of ["min", "diversity"]) $(id).addEventListener("change", () => change({ [id]: Number($(id).value) }));
  $("order").addEventListener("change", () => change({ order: $("order").value }));
  $("reset").addEventListener("click", () => change({ ...empty(), ratings: state.ratings, focus: state.focus }));
  $("leave").addEventListener("click", () => change({ focus: null }));
  $("more").addEventListener("click", () => { state.k += 30; refresh(); });
  $("clear").addEventListener("click", () => change({ ratings: new Map() }));
  $("closer").addEventListener("click", () => map.zoomAt(map.width / 2, map.height / 2, 1.5));
  $("farther").addEventListener("click", () => map.zoomAt(map.width / 2, map.height / 2, 1 / 1.5));
  $("csv").addEventListener("click", () => download("movies.csv", ["rank", "movie_id", "title", "year", "genres"], answers.map((m) => [m.rank, m.id, m.title, m.year, m.genres.join("|")])));
  $("save").addEventListener("click", () => download("ratings.csv", ["movie_id", "title", "year", "rating"], [...state.ratings].map(([id, given]) => [id, known.get(id).title, known.get(id).year, given])));
}

function download(name, header, rows) {
  const cell = (value) => (/[",\n\r]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : (value ?? ""));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[header, ...rows].map((line) => line.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// --- somebody's export

async function readFile(file) {
  if (!file) return;
  try {
    const read = await ask(`read?${query({ name: file.name.slice(-100) })}`, { method: "POST", body: file });
    const count = Object.keys(read.ratings).length;
    $("notes").textContent = [`${file.name}: ${count} ratings read.`, ...read.notes].join("\n");
    $("mine").open = true;
    change({ ratings: new Map([...state.ratings, ...Object.entries(read.ratings)]), focus: null });
  } catch (error) {
    $("notes").textContent = "";
    fail(error);
  }
}

function listen() {
  $("file").addEventListener("change", () => { readFile($("file").files[0]); $("file").value = ""; });
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    readFile(event.dataTransfer.files[0]);
  });
  addEventListener("popstate", () => { state = fromAddress(); refresh(); });
  search($("search"), $("found"), (text) => ask(`search?${query({ q: text })}`).catch(fail), (movie) => visit(learn(movie).id));
}

try {
  health = await ask("health");
  const columns = await ask("map");
  columns.movie_id.forEach((id, i) => known.set(String(id), { title: columns.title[i], year: columns.year[i], genres: columns.genres[i].map((g) => columns.genre_names[g]) }));
  map = new MovieMap(document.querySelector(".map"), columns, { onPick: visit });
  window.movieMap = map;
  makeControls();
  listen();
  state = fromAddress();
  await refresh();
} catch (error) {
  fail(error);
}
