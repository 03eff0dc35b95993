-- KEYS[1] epoch. ARGV[1] its new value; kept together with the identity of this very run of the server.
-- ARGV[2], if not empty, is what it must be now, given in this very run. Returns whether the new value was set.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if ARGV[2] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[2] .. '@' .. run_id then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. '@' .. run_id)
return 1
