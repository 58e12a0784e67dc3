// Keeps pages live: what is marked data-live is asked for again and put in place, without losing focus or selection.
// Everything else works without it.
"use strict";

const EVERY_MS = 2000;
const LONGEST_MS = 30000;
const regions = [...document.querySelectorAll("[data-live][id]")];
const button = document.getElementById("live");
const state = document.getElementById("live-state");
let pause = EVERY_MS;
let timer;

if (button && regions.length) {
  button.closest(".live").hidden = false;
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    on ? ask() : clearTimeout(timer);
  });
  document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : ask());
  timer = setTimeout(ask, pause);
}

function ask() {
  clearTimeout(timer);
  if (document.hidden || button.getAttribute("aria-pressed") !== "true") return;
  const request = new XMLHttpRequest();
  request.open("GET", location.pathname + location.search);
  request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
  request.responseType = "document";
  request.timeout = LONGEST_MS;
  request.onloadend = () => answered(request);
  request.send();
}

function answered(request) {
  if (request.status === 401) return location.reload();  // the session has ended: to the login
  const good = request.status === 204 || (request.status === 200 && request.response);
  if (request.status === 200 && good) regions.forEach((region) => renew(region, request.response.getElementById(region.id)));
  pause = good ? EVERY_MS : Math.min(pause * 2, LONGEST_MS);
  tell(good ? "" : "No answer from the service: trying again");
  timer = setTimeout(ask, pause);
}

function tell(text) {
  button.classList.toggle("lost", text !== "");
  button.title = text;
  if (state.textContent !== text) state.textContent = text;
}

function renew(old, fresh) {
  if (!fresh) return;
  const rows = old.querySelector("tbody[id]");
  const freshRows = fresh.querySelector("tbody[id]");
  if (rows && freshRows && rows.id === freshRows.id) renewRows(rows, freshRows);
  else put(old, fresh);
}

function put(old, fresh) {
  if (old.innerHTML === fresh.innerHTML || inUse(old)) return;
  old.replaceChildren(...document.adoptNode(fresh).childNodes);
}

function renewRows(rows, freshRows) {
  const known = new Map([...rows.children].map((row) => [row.id, row]));
  let place = rows.firstElementChild;
  for (const fresh of [...freshRows.children]) {
    const row = known.get(fresh.id);
    known.delete(fresh.id);
    if (row) put(row, fresh);
    else fresh.classList.add("new");
    if (row && row === place) place = row.nextElementSibling;
    else rows.insertBefore(row ?? document.adoptNode(fresh), place);
  }
  for (const row of known.values()) if (!inUse(row)) row.remove();
}

function inUse(element) {
  const selection = getSelection();
  return element.contains(document.activeElement) || element.querySelector("details[open]") !== null
    || (!selection.isCollapsed && selection.containsNode(element, true));
}
