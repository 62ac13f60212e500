// Orders and revenue of each day, by currency.
function main() {
  return Events({
    from_date: params.from_date,
    to_date: params.to_date,
    event_selectors: [{event: "checkout"}],
  }).groupBy(
    [event => new Date(event.time).toISOString().slice(0, 10), "properties.currency"],
    [mixpanel.reducer.count(), mixpanel.reducer.sum("properties.amount")]
  );
}
