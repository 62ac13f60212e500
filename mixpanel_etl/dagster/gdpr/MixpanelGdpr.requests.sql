-- One row per id. Rows with the same request_id are one data subject request.
SELECT
    request_id,    -- your id of the request; it must contain no personal data
    kind,          -- deletion or retrieval
    distinct_ids,  -- one id, or a JSON list of ids
    requested_at   -- when the person asked; the deadline counts from it
FROM privacy_requests
