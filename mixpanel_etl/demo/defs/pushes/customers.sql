-- Customers as they are now: only those that changed since the last push are sent.
SELECT customer_id, plan, company_id, newsletter
FROM customers
