-- What the shop sells, as a lookup table: events with a product_id get these columns in Mixpanel's reports.
SELECT product_id, title, category, price
FROM products
