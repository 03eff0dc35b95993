-- KEYS[1] epoch. Returns it if this very run of the server was given it: what came from a snapshot does not count.
local value = redis.call('GET', KEYS[1])
if not value then
  return false
end
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local epoch, given_in = string.match(value, '^(.*)@(%x+)$')
return given_in == run_id and epoch
