-- Who asked: one row for each request, or several with the same request_id. Add a row, and everything else follows.
-- distinct_ids and lookup hold one value or a JSON list; lookup names people by a profile property, as their e-mail.
-- Rows may stay: each request is taken in once. A change to a row that was taken in is refused, with the reason.
SELECT
    request_id,       -- a number of yours, no name and no e-mail address: it outlives the request
    kind,             -- deletion or retrieval
    distinct_ids,
    lookup,
    compliance_type,  -- GDPR (empty, too) or CCPA
    disclosure_type,  -- of retrievals under CCPA: Data (empty, too), Categories or Sources
    requested_at      -- when the person asked; the deadline counts from it
FROM privacy.requests
WHERE requested_at > now() - INTERVAL '180 days'
