// What every page has: the line below, the sign of what takes a while, the theme, the list of keys.

import { ApiError } from "./api.js";

export const get = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const one = Object.assign(document.createElement(name), properties);
  one.append(...children);
  return one;
}

export function say(text, isError = false) {
  get("status").textContent = text;
  get("status").classList.toggle("error", isError);
}

export function fail(error) {
  if (error.name === "AbortError") return;
  say(error instanceof ApiError ? error.message : String(error), true);
  if (!(error instanceof ApiError)) console.error(error);
}

// Something that takes a while, with the time that it took so far.
export async function busy(text, work) {
  say("");
  const start = performance.now();
  const show = () => {
    get("busy").hidden = false;
    get("busy-text").textContent = `${text} ${((performance.now() - start) / 1000).toFixed(1)} s`;
  };
  const timer = setInterval(show, 100);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    get("busy").hidden = true;
  }
}

export function startTheme() {
  const theme = localStorage.getItem("samkit-theme");
  if (theme) document.documentElement.dataset.theme = theme;
}

export function toggleTheme() {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (isDark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("samkit-theme", document.documentElement.dataset.theme);
}

export function showKeys() {
  get("keys").showModal();
}
