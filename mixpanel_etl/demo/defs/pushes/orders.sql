-- Orders of a day: one event each. `$start` and `$end` are the day's bounds in project time.
SELECT order_id, ordered_at, customer_id, amount, currency, items, coupon
FROM orders
WHERE ordered_at >= $start AND ordered_at < $end
