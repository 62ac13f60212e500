-- All other columns become properties of the event.
SELECT order_id, ordered_at, customer_id, amount, currency
FROM orders
WHERE ordered_at >= $start AND ordered_at < $end
