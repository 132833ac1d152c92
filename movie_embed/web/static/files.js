// What is saved to files.
import { said } from "./api.js";

function cell(value) {
  // A spreadsheet takes a cell that begins so for a formula.
  const text = /^[=+\-@\t\r]/.test(value ?? "") && typeof value !== "number" ? `'${value}` : String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(name, header, rows) {
  const link = document.createElement("a");
  // The mark tells spreadsheets the encoding.
  const text = `\ufeff${[header, ...rows].map((line) => line.map(cell).join(",")).join("\n")}\n`;
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Letterboxd's importer goes by these names. The first column is for us; it also takes the mark
// of the encoding, which would else be a part of "Title". https://letterboxd.com/about/importing-data/
const LETTERBOXD = ["movie_id", "imdbID", "tmdbID", "Title", "Year"];
const ids = (id, movie) => [id, movie.imdb_id, movie.tmdb_id, said(movie.title), movie.year];

export const saveMovies = (name, movies) => download(name, LETTERBOXD, movies.map(([id, movie]) => ids(id, movie)));
export const saveRatings = (name, movies, high) =>
  download(name, [...LETTERBOXD, high === 10 ? "Rating10" : "Rating"], movies.map(([id, movie, stars]) => [...ids(id, movie), stars ?? ""]));
