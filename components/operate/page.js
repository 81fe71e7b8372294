"use strict";
// All text comes from the data, which machines have a part in: it is set as text alone, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const machines = data.machines, by = id => document.getElementById(id), PAGE = 100;
const made = (tag, text, properties) => Object.assign(document.createElement(tag), { textContent: text ?? "" }, properties);
const moment = seconds => seconds == null ? "" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
const mark = machine => machine.needs_a_person ? (machine.state === "failed" ? "bad" : "warn") : "good";
const drift = machine => machine.drift == null ? "" : machine.drift ? String(machine.drift) : "clean";
const columns = [
  ["Machine", machine => machine.name],
  ["State", machine => machine.state, machine => data.states.indexOf(machine.state)],
  ["Reports", machine => machine.reported],
  ["Group", machine => machine.group],
  ["Lifecycle", machine => machine.lifecycle],
  ["Runs", machine => machine.running],
  ["Wanted", machine => machine.wanted === machine.running ? "" : machine.wanted],
  ["Wave", machine => machine.wave, machine => parseInt(machine.wave) || 0],
  ["OS", machine => machine.os_version],
  ["Changed", machine => moment(machine.changed_at), machine => machine.changed_at ?? 0],
  ["Down", machine => machine.downtime_seconds ? `${Math.round(machine.downtime_seconds)} s` : "",
    machine => machine.downtime_seconds ?? 0],
  ["Drift", drift, machine => machine.drift ?? -1],
];
const used = columns.filter(([name, shown]) => name === "Machine" || name === "State" || machines.some(shown));
const texts = machines.map(machine => [machine.name, machine.config, ...used.map(column => column[1](machine))]
  .join(" ").toLowerCase());
let sorted = "State", falling = false, page = 0, opener = null;

function choices(select, values, all) {
  select.append(made("option", all, { value: "" }));
  for (const value of values) select.append(made("option", value || "(none)", { value: `=${value}` }));
}

function groups() {
  const states = data.states.filter(state => machines.some(machine => machine.state === state));
  const names = [...new Set(machines.map(machine => machine.group))].sort();
  const head = made("tr");
  for (const name of ["Group", "Machines", ...states, "drifted"]) head.append(made("th", name, { scope: "col" }));
  by("groups").append(head);
  for (const name of names.length > 1 ? [null, ...names] : [null]) {
    const its = machines.filter(machine => name === null || machine.group === name), row = made("tr");
    row.append(made("th", name === null ? "all" : name || "(none)", { scope: "row" }), made("td", its.length));
    for (const state of states) row.append(made("td", its.filter(machine => machine.state === state).length));
    row.append(made("td", its.filter(machine => machine.drift).length));
    by("groups").append(row);
  }
}

function heads() {
  by("heads").replaceChildren(...used.map(([name]) => {
    const head = made("th", "", { scope: "col", role: "columnheader" }), button = made("button", name, { type: "button" });
    head.ariaSort = name === sorted ? (falling ? "descending" : "ascending") : "none";
    if (name === sorted) button.append(made("span", falling ? " ▾" : " ▴", { ariaHidden: "true" }));
    button.addEventListener("click", () => {
      [sorted, falling, page] = [name, name === sorted && !falling, 0];
      list();
      [...by("heads").querySelectorAll("button")][used.findIndex(column => column[0] === name)].focus();
    });
    head.append(button);
    return head;
  }));
}

function list() {
  const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const is = (id, value) => !by(id).value || by(id).value === `=${value}`;
  const found = machines.map((machine, index) => index).filter(index => {
    const machine = machines[index];
    return is("state", machine.state) && is("group", machine.group) && is("config", machine.config)
      && words.every(word => texts[index].includes(word));
  });
  const [, shown, value] = columns.find(column => column[0] === sorted), of = value ?? shown;
  const keys = new Map(found.map(index => [index, of(machines[index])]));
  found.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    return (x < y ? -1 : x > y ? 1 : a - b) * (falling ? -1 : 1);
  });
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  page = Math.min(page, pages - 1);
  heads();
  by("rows").replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(row));
  by("count").textContent = `${found.length} of ${machines.length} machines`;
  by("page").textContent = `page ${page + 1} of ${pages}`;
  [by("back").disabled, by("next").disabled] = [page === 0, page === pages - 1];
}

function row(index) {
  const machine = machines[index], line = made("tr", "", { role: "row" });
  for (const [name, shown] of used) {
    const cell = made("td", name === "Machine" ? "" : shown(machine), { role: "cell" });
    cell.dataset.name = name;
    if (name === "State") cell.className = mark(machine);
    if (name === "Drift" && machine.drift) cell.className = "warn";
    if (name === "Runs" || name === "Wanted") cell.classList.add("id");
    if (name === "Machine") {
      const button = made("button", machine.name, { type: "button" });
      button.addEventListener("click", () => open(index, button));
      cell.append(button);
    }
    line.append(cell);
  }
  return line;
}

function open(index, from) {
  const machine = machines[index];
  opener = from;
  by("machine-title").textContent = machine.name;
  const facts = [["State", machine.state], ["Group", machine.group], ["Lifecycle", machine.lifecycle],
    ["Config", machine.config], ["Runs", machine.running], ["Wanted", machine.wanted], ["Wave", machine.wave],
    ["OS", machine.os_version], ["Changed (UTC)", moment(machine.changed_at)],
    ["Down for", machine.downtime_seconds == null ? "" : `${machine.downtime_seconds} s`],
    ["Drift", drift(machine)], ["Audited (UTC)", moment(machine.audited_at)],
    ["Reports", machine.reported], ["Reported (UTC)", moment(machine.reported_at)], ["Why", machine.why]];
  by("facts").replaceChildren(...facts.filter(fact => fact[1]).flatMap(fact => [made("dt", fact[0]), made("dd", fact[1])]));
  const events = [...machine.history].reverse().map(event => {
    const item = made("li");
    const time = made("time", event.at.replace("T", " ").replace("Z", " "));
    item.append(time, made("strong", event.step), ` by ${event.by} `, made("span", event.config_id, { className: "id" }));
    return item;
  });
  by("history").replaceChildren(...(events.length ? events : [made("li", "nothing is known: make audit reads it")]));
  by("other").value = "";
  by("other").oninput = () => compare(machine);
  compare(machine);
  by("machine").hidden = false;
  by("machine").focus();
  by("machine").scrollIntoView();
}

function compare(machine) {
  const name = by("other").value, other = machines.find(candidate => candidate.name === name);
  by("differences").replaceChildren();
  by("difference").textContent = !name ? "" : !other ? `there is no machine ${name}` : "";
  if (!other) return;
  const [ours, theirs] = [machine, other].map(({ declares }) => {
    const found = new Map();
    for (let at = 0; at < declares.length; at += 2) found.set(declares[at], declares[at + 1]);
    return found;
  });
  const differences = [];
  for (const [path, hash] of ours) {
    if (!theirs.has(path)) differences.push(`${data.paths[path]}: ${machine.name} alone`);
    else if (theirs.get(path) !== hash) differences.push(`${data.paths[path]}: differs`);
  }
  for (const path of theirs.keys()) if (!ours.has(path)) differences.push(`${data.paths[path]}: ${other.name} alone`);
  by("difference").textContent = differences.length ? `${differences.length} differences` : "they declare the same";
  by("differences").replaceChildren(...differences.sort().map(text => made("li", text)));
}

by("when").textContent = `As known on ${moment(data.at)} UTC, without asking the machines.`;
choices(by("state"), data.states.filter(state => machines.some(machine => machine.state === state)), "all");
choices(by("group"), [...new Set(machines.map(machine => machine.group))].sort(), "all");
choices(by("config"), [...new Set(machines.map(machine => machine.config))].sort(), "all");
if (machines.length <= 1000) by("names").append(...machines.map(machine => made("option", "", { value: machine.name })));
for (const id of ["search", "state", "group", "config"]) by(id).addEventListener("input", () => { page = 0; list(); });
by("filters").addEventListener("reset", () => setTimeout(() => { page = 0; list(); }));
by("filters").addEventListener("submit", event => event.preventDefault());
by("back").addEventListener("click", () => { page -= 1; list(); });
by("next").addEventListener("click", () => { page += 1; list(); });
by("close").addEventListener("click", () => { by("machine").hidden = true; opener?.isConnected ? opener.focus() : by("search").focus(); });
groups();
list();
document.documentElement.dataset.ready = "yes";
