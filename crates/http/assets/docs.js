// Draws the API reference from /openapi.json. Text from the document only ever becomes text nodes.
"use strict";

const METHODS = ["get", "put", "post", "delete", "patch"];
const DEPTH_MAX = 6;
let api = {};

/** Makes an element: make("td", { class: "type" }, "text", child). */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text whose `words` become code. */
function prose(text) {
  return (text || "").split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

/** Follows a reference inside the document. */
function resolve(node) {
  let found = node || {};
  for (let hop = 0; found.$ref && hop < 8; hop += 1) {
    found = found.$ref.slice(2).split("/").reduce((at, part) => (at || {})[part.replace(/~1/g, "/").replace(/~0/g, "~")], api) || {};
  }
  return found;
}

function refName(node) {
  return node && node.$ref ? node.$ref.split("/").pop() : "";
}

/** The schema without its "or null" half. */
function present(schema) {
  const options = (schema.oneOf || schema.anyOf || []).filter((option) => option.type !== "null");
  return options.length === 1 ? options[0] : schema;
}

/** One line on the type of a schema. */
function typeWords(node) {
  const direct = present(node || {});
  const schema = resolve(direct);
  const types = [].concat(schema.type || []).filter((type) => type !== "null");
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (types[0] === "array") return `${typeWords(schema.items)}[]`;
  if (schema.oneOf || schema.anyOf) return (schema.oneOf || schema.anyOf).map(typeWords).join(" | ");
  if (types[0] === "object" || schema.properties || schema.allOf) {
    if (schema.additionalProperties && !schema.properties) return `map of ${typeWords(schema.additionalProperties)}`;
    return refName(direct) || "object";
  }
  return [types.join(" | ") || "any", schema.format && `(${schema.format})`].filter(Boolean).join(" ");
}

function limits(schema) {
  const words = [];
  const named = { minimum: "at least", maximum: "at most", minLength: "length at least", maxLength: "length at most", minItems: "items at least", maxItems: "items at most" };
  for (const [key, label] of Object.entries(named)) if (schema[key] !== undefined) words.push(`${label} ${schema[key]}`);
  if (schema.default !== undefined && schema.default !== null) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(", ");
}

/** The properties of an object schema, parts of allOf included. */
function shape(node) {
  const schema = resolve(present(node || {}));
  const parts = [schema, ...(schema.allOf || []).map((part) => shape(part))];
  return {
    properties: Object.assign({}, ...parts.map((part) => part.properties || {})),
    required: parts.flatMap((part) => part.required || []),
  };
}

/** The object schemas inside a schema: the object itself, or the items of a list. */
function inner(node) {
  const schema = resolve(present(node || {}));
  if ([].concat(schema.type || []).includes("array")) return inner(schema.items);
  if (schema.additionalProperties && typeof schema.additionalProperties === "object" && !schema.properties) return inner(schema.additionalProperties);
  return Object.keys(shape(schema).properties).length ? schema : null;
}

function fieldTable(node, depth = 0) {
  const { properties, required } = shape(node);
  const body = make("tbody");
  for (const [name, field] of Object.entries(properties)) {
    const schema = resolve(present(field));
    const words = [field.description || schema.description, limits(schema)].filter(Boolean).join(" · ");
    const cell = make("td", {}, ...prose(words));
    const nested = depth < DEPTH_MAX ? inner(field) : null;
    if (nested) cell.append(make("details", { class: "fields" }, make("summary", {}, `fields of ${refName(present(field)) || name}`), lazily(() => fieldTable(nested, depth + 1))));
    body.append(make("tr", {}, make("td", {}, make("code", {}, name), required.includes(name) ? make("div", { class: "must" }, "required") : null), make("td", { class: "type" }, typeWords(field)), cell));
  }
  return make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, "field"), make("th", {}, "type"), make("th", {}, "meaning"))), body);
}

/** A holder that is filled when it is first opened: schemas may refer to themselves. */
function lazily(fill) {
  const holder = make("div");
  requestAnimationFrame(() => holder.parentElement && holder.parentElement.addEventListener("toggle", () => holder.replaceChildren(fill()), { once: true }));
  return holder;
}

/** A body to begin with: required fields, and the first of the optional ones. */
function sample(node, depth = 0) {
  const schema = resolve(present(node || {}));
  if (schema.example !== undefined) return schema.example;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.default !== undefined && schema.default !== null) return schema.default;
  if (schema.enum) return schema.enum[0];
  const type = [].concat(schema.type || []).find((word) => word !== "null");
  if (type === "array") return depth < DEPTH_MAX ? [sample(schema.items, depth + 1)] : [];
  if (type === "integer" || type === "number") return schema.minimum || 1;
  if (type === "boolean") return false;
  if (type === "string") return schema.format === "byte" ? "dGV4dA==" : "text";
  const { properties, required } = shape(schema);
  const made = {};
  if (depth < DEPTH_MAX) for (const name of Object.keys(properties)) if (required.includes(name)) made[name] = sample(properties[name], depth + 1);
  return made;
}

function bodyOf(operation) {
  const content = resolve(operation.requestBody).content || {};
  const type = Object.keys(content)[0];
  return type ? { type, schema: content[type].schema || {} } : null;
}

function curl(method, path, operation) {
  const body = bodyOf(operation);
  const lines = [`curl -X ${method.toUpperCase()} '${location.origin}${path}'`];
  if (operation.security) lines.push(`  -H "authorization: Bearer $PLINTH_KEY"`);
  if ((operation.parameters || []).some((parameter) => resolve(parameter).name === "Idempotency-Key")) lines.push(`  -H 'idempotency-key: attempt-1'`);
  if (body && body.type.endsWith("json")) {
    lines.push(`  -H 'content-type: application/json'`, `  -d '${JSON.stringify(sample(body.schema))}'`);
  } else if (body) {
    lines.push(`  -H 'content-type: text/plain'`, `  --data-binary 'value'`);
  }
  return lines.join(" \\\n");
}

function parameterTable(parameters) {
  const body = make("tbody");
  for (const parameter of parameters) {
    const schema = resolve(parameter.schema);
    const words = [parameter.description, limits(schema)].filter(Boolean).join(" · ");
    body.append(make("tr", {}, make("td", {}, make("code", {}, parameter.name), parameter.required ? make("div", { class: "must" }, "required") : null), make("td", { class: "type" }, parameter.in), make("td", { class: "type" }, typeWords(parameter.schema)), make("td", {}, ...prose(words))));
  }
  return make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, "parameter"), make("th", {}, "in"), make("th", {}, "type"), make("th", {}, "meaning"))), body);
}

function answers(operation) {
  const holder = make("div", { class: "answers" });
  for (const [status, node] of Object.entries(operation.responses || {})) {
    const response = resolve(node);
    const content = Object.entries(response.content || {})[0];
    const row = make("div", {}, make("code", {}, status), " ", ...prose(response.description));
    const object = content ? inner(content[1].schema) : null;
    if (content && status.startsWith("2")) row.append(make("span", { class: "facts" }, ` · ${content[0]} · ${typeWords(content[1].schema)}`));
    if (object && status.startsWith("2")) row.append(make("details", { class: "fields" }, make("summary", {}, `fields of ${refName(content[1].schema) || "the answer"}`), lazily(() => fieldTable(object))));
    holder.append(row);
  }
  return holder;
}

function tryIt(method, path, operation, parameters) {
  const form = make("form", { class: "try" });
  const inputs = parameters.map((parameter) => {
    const input = make("input", { "aria-label": parameter.name, placeholder: parameter.required ? "required" : "" });
    form.append(make("label", {}, make("code", {}, parameter.name), ` `, make("span", { class: "facts" }, parameter.in)), input);
    return { parameter, input };
  });
  const body = bodyOf(operation);
  let text = null;
  if (body) {
    text = make("textarea", { "aria-label": "Body", spellcheck: "false" });
    text.value = body.type.endsWith("json") ? JSON.stringify(sample(body.schema), null, 2) : "value";
    form.append(make("label", { class: "wide" }, "Body ", make("span", { class: "facts" }, body.type)), make("div", { class: "wide" }, text));
  }
  const result = make("div", { class: "wide", "aria-live": "polite" });
  form.append(make("div", { class: "wide" }, make("button", { class: "go", type: "submit" }, "Send")), result);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, path, body, inputs, text, result);
  });
  return form;
}

async function send(method, path, body, inputs, text, result) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (parameter.in === "query") query.set(parameter.name, input.value);
    else if (parameter.in === "header") headers[parameter.name] = input.value;
  }
  const key = document.getElementById("key").value.trim();
  if (key) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = body.type.endsWith("json") ? "application/json" : "text/plain";
  const suffix = query.size ? `?${query}` : "";
  try {
    const began = performance.now();
    const response = await fetch(target + suffix, { method: method.toUpperCase(), headers, body: text ? text.value : undefined });
    const answer = await response.text();
    const took = Math.round(performance.now() - began);
    result.replaceChildren(make("p", {}, make("span", { class: `status ${response.ok ? "good" : "bad"}` }, `${response.status} ${response.statusText}`), make("span", { class: "facts" }, ` · ${took} ms · ${response.headers.get("content-type") || "no body"}`)), make("pre", {}, pretty(answer)));
  } catch (error) {
    result.replaceChildren(make("p", { class: "status bad" }, `not sent: ${error.message}`));
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function fill(card, method, path, operation) {
  const parameters = (operation.parameters || []).map(resolve);
  const inside = make("div", { class: "inside" });
  const own = operation["x-plinth"] || {};
  const facts = [own.permission && `permission ${own.permission}`, own.thrift && `Thrift ${own.thrift}`].filter(Boolean).join(" · ");
  inside.append(...(operation.description || "").split("\n\n").filter(Boolean).map((paragraph) => make("p", {}, ...prose(paragraph))), make("p", { class: "facts" }, facts));
  if (parameters.length) inside.append(make("h3", {}, "Parameters"), parameterTable(parameters));
  const body = bodyOf(operation);
  if (body) {
    inside.append(make("h3", {}, "Body ", make("span", { class: "type" }, body.type)));
    inside.append(inner(body.schema) ? fieldTable(inner(body.schema)) : make("p", { class: "facts" }, "the value as it is"));
  }
  inside.append(make("h3", {}, "Answers"), answers(operation), make("h3", {}, "curl"), make("pre", {}, curl(method, path, operation)), make("h3", {}, "Try it"), tryIt(method, path, operation, parameters));
  card.append(inside);
}

function card(method, path, operation) {
  const element = make("details", { class: "operation", id: operation.operationId }, make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", { class: "path" }, path), make("span", { class: "what" }, operation.summary || "")));
  element.addEventListener("toggle", () => element.open && element.childElementCount === 1 && fill(element, method, path, operation));
  return element;
}

function draw() {
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("lead").textContent = api.info.description || "";
  const main = document.getElementById("main");
  const list = document.getElementById("list");
  const all = Object.entries(api.paths || {}).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) => ({ method, path, operation: item[method] })));
  for (const tag of api.tags || []) {
    const own = all.filter(({ operation }) => (operation.tags || []).includes(tag.name));
    if (!own.length) continue;
    main.append(make("section", {}, make("h2", {}, tag.name), make("p", {}, tag.description || ""), ...own.map(({ method, path, operation }) => card(method, path, operation))));
    const links = own.map(({ operation }) => make("a", { href: `#${operation.operationId}`, title: operation.summary || "" }, operation.operationId));
    list.append(make("div", {}, make("h2", {}, tag.name), ...links));
  }
  window.addEventListener("hashchange", openNamed);
  openNamed();
}

function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named && named.tagName === "DETAILS") {
    named.open = true;
    named.scrollIntoView();
  }
}

function filter(event) {
  const words = event.target.value.toLowerCase();
  for (const link of document.querySelectorAll("#list a")) link.classList.toggle("hidden", !`${link.textContent} ${link.title}`.toLowerCase().includes(words));
  for (const operation of document.querySelectorAll("details.operation")) operation.classList.toggle("hidden", !`${operation.id} ${operation.firstChild.textContent}`.toLowerCase().includes(words));
  // A heading without a hit below it goes too.
  for (const group of document.querySelectorAll("#list > div, section")) group.classList.toggle("hidden", !group.querySelector("a:not(.hidden), details.operation:not(.hidden)"));
}

function turnTheme() {
  const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark") && document.documentElement.dataset.theme !== "light" && (document.documentElement.dataset.theme === "dark" || matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
}

document.getElementById("filter").addEventListener("input", filter);
document.getElementById("theme").addEventListener("click", turnTheme);
fetch("/openapi.json")
  .then((response) => response.json())
  .then((found) => {
    api = found;
    draw();
  })
  .catch((error) => {
    document.getElementById("lead").textContent = `The document could not be loaded: ${error.message}`;
  });
