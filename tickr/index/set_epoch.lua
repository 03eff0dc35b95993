-- KEYS[1] epoch. ARGV[1] its new value; kept together with the identity of this very run of the server.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
return redis.call('SET', KEYS[1], ARGV[1] .. '@' .. run_id)
