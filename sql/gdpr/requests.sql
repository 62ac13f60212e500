-- Data subject requests: one row each, or several rows with the same request_id.
-- distinct_ids and lookup hold one value or a JSON list; lookup is the value of a profile property, such as the e-mail address.
-- Rows may stay: each request is accepted once. A later change to its row is rejected, with the reason.
SELECT
    request_id,       -- your id of the request, without a name or an e-mail address: it outlives the request
    kind,             -- deletion or retrieval
    distinct_ids,
    lookup,
    compliance_type,  -- GDPR (empty, too) or CCPA
    disclosure_type,  -- of retrievals under CCPA: Data (empty, too), Categories or Sources
    requested_at      -- when the person asked; the deadline counts from it
FROM privacy.requests
WHERE requested_at > now() - INTERVAL '180 days'
