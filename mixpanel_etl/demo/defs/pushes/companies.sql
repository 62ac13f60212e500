-- Companies as they are now, for group analytics.
SELECT company_id, industry, seats
FROM companies
