// Every user of the project. `params.where` is a selector, `params.names` are the properties to show; null for all.
function main() {
  const people = params.where === null ? People() : People({ user_selectors: [{ selector: params.where }] });
  return people.map(function (user) {
    let shown = user.properties;
    if (params.names !== null) {
      shown = {};
      params.names.forEach(function (name) {
        if (name in user.properties) shown[name] = user.properties[name];
      });
    }
    return { $distinct_id: user.distinct_id, $properties: shown };
  });
}
