"""The GDPR API: data subject requests and the jobs that carry them out."""
