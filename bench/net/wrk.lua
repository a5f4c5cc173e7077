-- For wrk: pipelines as many requests as its argument says, and prints names and values.
--
--     wrk -s wrk.lua URL -- 16

function init(arguments)
    local depth = tonumber(arguments[1])
    if depth == 1 then return end
    local batch = string.rep(wrk.format(), depth)
    function request() return batch end
end

-- latency:percentile() may be 0: wrk adds estimates for requests that it was too late to
-- send, faster ones than any that it has measured too, and overlooks those.
local function percentiles(latency, shares)
    local sum = 0
    for i = 1, #latency do sum = sum + select(2, latency(i)) end
    local found, below = {}, 0
    for i = 1, #latency do
        local value, count = latency(i)
        below = below + count
        for name, share in pairs(shares) do
            if not found[name] and below >= share * sum then found[name] = value end
        end
    end
    return found
end

function done(summary, latency)
    local errors = 0
    for _, count in pairs(summary.errors) do errors = errors + count end
    io.write(string.format("\nresult requests %d per_second %.1f errors %d", summary.requests,
                           summary.requests * 1e6 / summary.duration, errors))
    local found = percentiles(latency, {p50_us = 0.5, p99_us = 0.99, p999_us = 0.999})
    for name, value in pairs(found) do io.write(string.format(" %s %.1f", name, value)) end
    io.write("\n")
end
