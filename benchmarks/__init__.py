"""Speed against other libraries; not shipped, not timed by any test."""
