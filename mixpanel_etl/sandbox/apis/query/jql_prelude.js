// What a JQL script finds in its world: Events, People, join, mixpanel, _ and params.
// Source: mixpanel-api.md#query-jql.
//
// main() only describes a query. The host then reads the description of its source (__source), and hands over the
// records for the transformations to be applied to (__result). Nothing here calls the host.
(function (world) {
  "use strict";

  // As few items as show that a reducer can combine its own results: JQL gives no guarantee on how many it passes.
  const BATCH = 1000;

  class Collection {
    constructor(source, steps, grouped) {
      Object.assign(this, { source, steps, grouped });
    }
    _then(step, kind) {
      return new Collection(this.source, this.steps.concat([step]), this.grouped || kind !== "filter");
    }
    filter(condition) {
      return this._then((items) => items.filter((item) => condition(item)), "filter");
    }
    map(change) {
      return this._then((items) => items.map((item) => change(item)));
    }
    flatten() {
      return this._then((items) => items.flat(1));
    }
    reduce(reducers) {
      return this._then((items) => [reduced(reducers, items)]);
    }
    groupBy(keys, reducers) {
      return this._then((items) => grouped(items, (item) => keysOf(keys, item), (members) => reduced(reducers, members)));
    }
    groupByUser(keys, reducers) {
      if (this.grouped) {
        throw new Error("groupByUser() can only be applied to Events(), People(), join() and a filter() of them");
      }
      const [extra, functions] = reducers === undefined ? [[], keys] : [keys, reducers];
      const userKeys = (item) => keysOf(extra, item).map((key) => [item.distinct_id].concat(key));
      return this._then((items) =>
        grouped(items.filter((item) => item.distinct_id !== undefined), userKeys, (members) => folded(functions, members)));
    }
    sortAsc(accessor) {
      return this._then((items) => sorted(items, accessor, 1));
    }
    sortDesc(accessor) {
      return this._then((items) => sorted(items, accessor, -1));
    }
    applyGroupLimits(limits, maximum) {
      return this._then((items) => limited(items, limits, maximum));
    }
  }

  // One reducer, or a list of them whose results are a list.
  function reduced(reducers, items) {
    if (Array.isArray(reducers)) {
      return reducers.map((reducer) => reduced(reducer, items));
    }
    if (reducers.whole) {
      return reducers.whole(items);
    }
    if (items.length <= BATCH) {
      return reducers([], items);
    }
    return reducers(batches(items).map((batch) => reducers([], batch)), []);
  }

  function folded(reducers, items) {
    if (Array.isArray(reducers)) {
      return reducers.map((reducer) => folded(reducer, items));
    }
    return reducers.whole ? reducers.whole(items) : batches(items).reduce((state, batch) => reducers(state, batch), undefined);
  }

  function batches(items) {
    const parts = [];
    for (let start = 0; start < items.length; start += BATCH) {
      parts.push(items.slice(start, start + BATCH));
    }
    return parts;
  }

  function grouped(items, keysOfItem, valueOf) {
    const groups = new Map();
    for (const item of items) {
      for (const key of keysOfItem(item)) {
        const name = JSON.stringify(key);
        if (!groups.has(name)) {
          groups.set(name, { key, members: [] });
        }
        groups.get(name).members.push(item);
      }
    }
    return Array.from(groups.values(), ({ key, members }) => ({ key, value: valueOf(members) }));
  }

  class MultipleKeys {
    constructor(keys) {
      this.keys = keys;
    }
  }

  // Lists become part of the key, or one key for each element when they are multiple keys.
  function keysOf(spec, item) {
    let keys = [[]];
    for (const part of Array.isArray(spec) ? spec : [spec]) {
      const choices = part instanceof MultipleKeys ? multiple(part, item) : [scalars(accessorOf(part)(item))];
      keys = keys.flatMap((key) => choices.map((choice) => key.concat(choice)));
    }
    return keys;
  }

  function multiple(spec, item) {
    return spec.keys.reduce((keys, part) => {
      const value = accessorOf(part)(item);
      const choices = Array.isArray(value) ? value : [value];
      return keys.flatMap((key) => choices.map((choice) => key.concat(scalars(choice))));
    }, [[]]);
  }

  function scalars(value) {
    return (Array.isArray(value) ? value : [value]).map((part) => {
      if (part !== null && typeof part === "object") {
        throw new Error("group keys can only include strings, numbers, booleans and nulls");
      }
      return part === undefined ? null : part;
    });
  }

  function accessorOf(accessor) {
    if (accessor === undefined) {
      return (item) => item;
    }
    if (typeof accessor === "function") {
      return accessor;
    }
    const path = String(accessor).split(".");
    return (item) => path.reduce((value, name) => (value === undefined || value === null ? undefined : value[name]), item);
  }

  function sorted(items, accessor, sign) {
    const valueOf = accessorOf(accessor);
    const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : String(a) < String(b) ? -1 : 1);
    return items
      .map((item) => ({ item, value: valueOf(item) }))
      .sort((a, b) => sign * compare(a.value, b.value))
      .map(({ item }) => item);
  }

  function limited(items, limits, maximum) {
    const seen = new Map();
    const kept = items.filter((item) =>
      limits.every((limit, depth) => {
        const prefix = JSON.stringify(item.key.slice(0, depth));
        const values = seen.get(prefix) || seen.set(prefix, new Set()).get(prefix);
        const value = JSON.stringify(item.key[depth]);
        return values.has(value) || (values.size < limit && Boolean(values.add(value)));
      }));
    return maximum === undefined ? kept : kept.slice(0, maximum);
  }

  // A reducer that is given all items at once, wherever it is used.
  function builtin(whole) {
    const reducer = () => {
      throw new Error("built-in reducers are passed to reduce(), groupBy() and groupByUser(), not called");
    };
    reducer.whole = whole;
    return reducer;
  }

  function numbers(items, accessor) {
    return items.map(accessorOf(accessor)).filter((value) => typeof value === "number" && isFinite(value));
  }

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  function summary(values) {
    const [count, total, squares] = [values.length, sum(values), sum(values.map((value) => value * value))];
    const avg = count ? total / count : 0;
    const stddev = count ? Math.sqrt(Math.max(0, squares / count - avg * avg)) : 0;
    return { count, sum: total, sum_squares: squares, avg, stddev };
  }

  function percentile(ordered, percent) {
    return ordered.length ? ordered[Math.max(0, Math.ceil((percent / 100) * ordered.length) - 1)] : null;
  }

  function extreme(items, accessor, sign) {
    const valueOf = accessorOf(accessor);
    return items.reduce((best, item) => {
      const value = valueOf(item);
      return typeof value === "number" && (best === null || sign * value > sign * best.value) ? { item, value } : best;
    }, null);
  }

  function merged(items) {
    const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
    return items.reduce((result, item) => {
      for (const name of Object.keys(item)) {
        const [before, value] = [result[name], item[name]];
        if (isObject(value)) {
          result[name] = merged([isObject(before) ? before : {}, value]);
        } else {
          result[name] = typeof value === "number" && typeof before === "number" ? before + value : value;
        }
      }
      return result;
    }, {});
  }

  function bucketed(value, spec) {
    if (typeof value !== "number") {
      return null;
    }
    if (Array.isArray(spec)) {
      const below = spec.filter((boundary) => boundary <= value);
      return below.length ? Math.max(...below) : null;
    }
    if (spec.months) {
      const date = new Date(value);
      return Date.UTC(date.getUTCFullYear(), Math.floor(date.getUTCMonth() / spec.months) * spec.months, 1);
    }
    const offset = spec.offset || 0;
    return Math.floor((value - offset) / spec.bucket_size) * spec.bucket_size + offset;
  }

  function numberFrom(value) {
    if (typeof value === "number" || typeof value === "boolean") {
      return Number(value);
    }
    if (typeof value !== "string" || value.trim() === "") {
      return undefined;
    }
    const number = isNaN(value) ? new Date(value).getTime() / 1000 : Number(value);
    return isFinite(number) ? number : undefined;
  }

  const DAY = 86400 * 1000;
  world.mixpanel = {
    multiple_keys: (keys) => new MultipleKeys(keys),
    slice: (accessor, start, limit) => (item) => accessorOf(accessor)(item).slice(start, limit),
    numeric_bucket: (accessor, spec) => (item) => bucketed(accessorOf(accessor)(item), spec),
    to_number: (accessor) => (item) => numberFrom(accessorOf(accessor)(item)),
    daily_time_buckets: { bucket_size: DAY },
    weekly_time_buckets: { bucket_size: 7 * DAY, offset: 4 * DAY }, // 1970-01-05 was a Monday
    monthly_time_buckets: { months: 1 },
    quarterly_time_buckets: { months: 3 },
    annual_time_buckets: { months: 12 },
    reducer: {
      count: () => builtin((items) => items.length),
      sum: (accessor) => builtin((items) => sum(numbers(items, accessor))),
      avg: (accessor) => builtin((items) => summary(numbers(items, accessor)).avg),
      numeric_summary: (accessor) => builtin((items) => summary(numbers(items, accessor))),
      numeric_percentiles: (accessor, percents) =>
        builtin((items) => {
          const ordered = numbers(items, accessor).sort((a, b) => a - b);
          return Array.isArray(percents)
            ? percents.map((percent) => ({ percentile: percent, value: percentile(ordered, percent) }))
            : percentile(ordered, percents);
        }),
      min: (accessor) => builtin((items) => (extreme(items, accessor, -1) || { value: null }).value),
      max: (accessor) => builtin((items) => (extreme(items, accessor, 1) || { value: null }).value),
      min_by: (accessor) => builtin((items) => (extreme(items, accessor, -1) || { item: null }).item),
      max_by: (accessor) => builtin((items) => (extreme(items, accessor, 1) || { item: null }).item),
      top: (limit) => builtin((items) => sorted(items, "value", -1).slice(0, limit)),
      object_merge: () => builtin(merged),
      any: () => builtin((items) => (items.length ? items[0] : null)),
      null: () => builtin(() => null),
    },
  };

  world.Events = (options) => new Collection({ kind: "events", ...options }, [], false);
  world.People = (options) => new Collection({ kind: "people", ...options }, [], false);
  world.join = (events, people, options) => {
    if ([events, people].some((part) => !(part instanceof Collection) || part.steps.length)) {
      throw new Error("join() takes Events() and People() without transformations");
    }
    return new Collection({ ...options, kind: "join", events: events.source, people: people.source }, [], false);
  };

  // The most used of underscore.js.
  const each = (list, visit) => (Array.isArray(list) ? list.forEach(visit) : Object.keys(list).forEach((name) => visit(list[name], name)));
  const listOf = (list) => (Array.isArray(list) ? list : Object.values(list || {}));
  const iteratee = (how) => (how === undefined ? (item) => item : typeof how === "function" ? how : (item) => item[how]);
  const gather = (list, how, place) => listOf(list).reduce((all, item) => place(all, iteratee(how)(item), item), {});
  world._ = {
    each,
    forEach: each,
    map: (list, how) => (Array.isArray(list) ? list.map(iteratee(how)) : Object.keys(list).map((name) => iteratee(how)(list[name], name))),
    filter: (list, holds) => listOf(list).filter((item) => holds(item)),
    reject: (list, holds) => listOf(list).filter((item) => !holds(item)),
    find: (list, holds) => listOf(list).find((item) => holds(item)),
    reduce: (list, combine, start) => listOf(list).reduce((state, item) => combine(state, item), start),
    some: (list, holds) => listOf(list).some((item) => iteratee(holds)(item)),
    every: (list, holds) => listOf(list).every((item) => iteratee(holds)(item)),
    contains: (list, value) => listOf(list).includes(value),
    pluck: (list, name) => listOf(list).map((item) => item[name]),
    uniq: (list) => Array.from(new Set(listOf(list))),
    flatten: (list) => list.flat(Infinity),
    sortBy: (list, how) => sorted(listOf(list), iteratee(how), 1),
    groupBy: (list, how) => gather(list, how, (all, name, item) => ({ ...all, [name]: (all[name] || []).concat([item]) })),
    countBy: (list, how) => gather(list, how, (all, name) => ({ ...all, [name]: (all[name] || 0) + 1 })),
    indexBy: (list, how) => gather(list, how, (all, name, item) => ({ ...all, [name]: item })),
    max: (list, how) => (extreme(listOf(list), iteratee(how), 1) || { item: -Infinity }).item,
    min: (list, how) => (extreme(listOf(list), iteratee(how), -1) || { item: Infinity }).item,
    keys: (object) => Object.keys(object),
    values: (object) => Object.values(object),
    pairs: (object) => Object.entries(object),
    object: (pairs) => Object.fromEntries(pairs),
    has: (object, name) => Object.prototype.hasOwnProperty.call(object, name),
    extend: (...objects) => Object.assign(...objects),
    pick: (object, ...names) => Object.fromEntries(names.flat().filter((name) => name in object).map((name) => [name, object[name]])),
    omit: (object, ...names) => Object.fromEntries(Object.entries(object).filter(([name]) => !names.flat().includes(name))),
    size: (list) => listOf(list).length,
    first: (list, count) => (count === undefined ? list[0] : list.slice(0, count)),
    last: (list, count) => (count === undefined ? list[list.length - 1] : list.slice(-count)),
    range: (start, end) => (end === undefined ? Array.from({ length: start }, (_, n) => n) : Array.from({ length: end - start }, (_, n) => start + n)),
    isEmpty: (list) => list === null || list === undefined || listOf(list).length === 0,
    isArray: Array.isArray,
    isUndefined: (value) => value === undefined,
    identity: (value) => value,
  };

  // Times are of the project's zone as if it were UTC: the machine's own zone must not show.
  const RealDate = Date;
  for (const name of Object.getOwnPropertyNames(RealDate.prototype)) {
    const utc = name.replace(/^([gs]et)(?!UTC)/, "$1UTC");
    if (utc !== name && RealDate.prototype[utc]) {
      RealDate.prototype[name] = RealDate.prototype[utc];
    }
  }
  RealDate.prototype.getTimezoneOffset = () => 0;
  RealDate.prototype.toDateString = function () {
    const [day, date, month, year] = this.toUTCString().replace(",", "").split(" ");
    return [day, month, date, year].join(" ");
  };
  RealDate.prototype.toString = function () {
    return isNaN(this) ? "Invalid Date" : `${this.toDateString()} ${this.toISOString().slice(11, 19)} GMT+0000 (UTC)`;
  };
  world.Date = new Proxy(RealDate, {
    construct: (target, parts) => {
      if (parts.length > 1) {
        return new target(target.UTC(...parts));
      }
      const zoneless = typeof parts[0] === "string" && /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(parts[0]);
      return zoneless ? new target(parts[0].replace(" ", "T") + "Z") : new target(...parts);
    },
  });

  let query;
  world.__source = () => {
    if (typeof world.main !== "function") {
      throw new Error("the script must define a function main()");
    }
    query = world.main();
    if (!(query instanceof Collection)) {
      throw new Error("main() must return Events(), People() or join(), or transformations of them");
    }
    return JSON.stringify(query.source);
  };
  world.__result = (text) => JSON.stringify(query.steps.reduce((items, step) => step(items), JSON.parse(text)));
})(globalThis);
