-- One line of JSON at the end of a wrk run. No request() or response() here: either would slow every request.
function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "duration_us": %d, "bytes": %.0f, "connect": %d, "read": %d, "write": %d, ' ..
      '"timeout": %d, "status": %d, "p50_us": %.0f, "p99_us": %.0f}\n',
      summary.requests, summary.duration, summary.bytes, errors.connect, errors.read, errors.write,
      errors.timeout, errors.status, latency:percentile(50), latency:percentile(99)))
end
