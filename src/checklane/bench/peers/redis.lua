-- The same commit in one script: key, receipt, entry, lot, balance, counters, once.
-- KEYS: account, idempotency key, receipt
-- ARGV: content, purse, activation and expiry day, points, day, request, response, offers ...
local account, key, receipt = KEYS[1], KEYS[2], KEYS[3]
local content, response = ARGV[1], ARGV[8]

for _, name in ipairs({key, receipt}) do
    local bound = redis.call('HMGET', name, 'content', 'lsn')
    if bound[1] then
        if bound[1] ~= content then
            return redis.error_reply('REUSED ' .. name:sub(1, 1))
        end
        return redis.call('HGET', 'e' .. bound[2], 'response')
    end
end

local lsn = redis.call('INCR', 'lsn')
redis.call('HSET', 'e' .. lsn, 'account', account, 'request', ARGV[7], 'response', response)
redis.call('HSET', key, 'content', content, 'lsn', lsn)
redis.call('HSET', receipt, 'content', content, 'lsn', lsn)
redis.call('HINCRBY', account, 'lot:' .. ARGV[2] .. ':' .. ARGV[3] .. ':' .. ARGV[4], ARGV[5])
redis.call('HINCRBY', account, 'balance:' .. ARGV[2], ARGV[5])
for at = 9, #ARGV do
    redis.call('HINCRBY', account, 'use:' .. ARGV[at] .. ':' .. ARGV[6], 1)
end
return response
