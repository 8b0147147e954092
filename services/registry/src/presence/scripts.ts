// What Redis does in one step. Every script names the `meta` of its namespace as its key and derives the others from
// the prefix: they have the same hash tag, hence the same slot. Time is Redis' own.

import { Script } from '../redis.ts';

const tools = `
local meta, prefix = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function digits(number) return string.format('%.0f', number) end

-- Microseconds, so that revisions grow also over the loss of the last one.
local last
local function revise()
  last = math.max((last or tonumber(redis.call('HGET', meta, 'r') or 0)) + 1, time[1] * 1000000 + time[2])
  return digits(last)
end

local out, change = {}, 0
local function finish()
  if last then redis.call('HSET', meta, 'r', digits(last)) end
  if change ~= 0 then redis.call('HINCRBY', meta, 'n', change) end
  for from = 1, #out, 1000 do
    redis.call('RPUSH', prefix .. 'out', unpack(out, from, math.min(from + 999, #out)))
  end
end

local function find(topic, ref)
  local found = redis.call('ZRANGEBYLEX', prefix .. 't:' .. topic, '[' .. ref .. '\\0', '(' .. ref .. '\\1', 'LIMIT', 0, 1)[1]
  if not found then return nil end
  local since, changed, revision, lease, body =
    string.match(string.sub(found, #ref + 2), '^(%d+) (%d+) (%d+) (%S+) (.*)$')
  return { text = found, since = since, changed = changed, revision = revision, lease = lease, body = body }
end

local function textOf(ref, one)
  return ref .. '\\0' .. one.since .. ' ' .. one.changed .. ' ' .. one.revision .. ' ' .. one.lease .. ' ' .. one.body
end

-- '-' is nobody: a member that lingers.
local function let(place, lease)
  if lease ~= '-' then redis.call('SREM', prefix .. 'h:' .. lease, place) end
end

local function remove(topic, ref, old, kind)
  local key = prefix .. 't:' .. topic
  redis.call('ZREM', key, old.text)
  if redis.call('EXISTS', key) == 0 then redis.call('ZREM', prefix .. 'topics', topic) end
  redis.call('ZREM', prefix .. 'ttl', topic .. '\\0' .. ref)
  change = change - 1
  old.changed, old.revision = digits(now), revise()
  out[#out + 1] = kind .. topic .. '\\0' .. textOf(ref, old)
end

-- A place is '<topic> NUL <ref>'.
local function split(place)
  local stop = string.find(place, '\\0', 1, true)
  return string.sub(place, 1, stop - 1), string.sub(place, stop + 1)
end
`;

/** `prefix, epoch`: the namespace's epoch, which is the one given where it had none. */
export const claimScript = new Script(`
redis.call('HSETNX', KEYS[1], 'e', ARGV[2])
return redis.call('HGET', KEYS[1], 'e')`);

/**
 * Enters or updates: `prefix, lease, registered, most of a topic, most of the namespace, most that wait`, then for each
 * `topic, ref, body, time to live in ms or 0, since or 0`. Answers 'ended', 'register', or for each a list: since, changed,
 * revision, expires; or why it was refused.
 */
export const putScript = new Script(`${tools}
local lease, most, mostAll, mostOut = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
if redis.call('EXISTS', prefix .. 'end:' .. lease) == 1 then return 'ended' end
if redis.call('SISMEMBER', prefix .. 'holders', lease) == 0 then
  if ARGV[3] == '0' then return 'register' end
  redis.call('SADD', prefix .. 'holders', lease)
end
local waiting, all = redis.call('LLEN', prefix .. 'out'), tonumber(redis.call('HGET', meta, 'n') or 0)

local function put(topic, ref, body, ttl, since)
  local key, place, old = prefix .. 't:' .. topic, topic .. '\\0' .. ref, find(topic, ref)
  local new = { lease = lease, body = body, since = digits(now), changed = digits(now) }
  if old then new.since = old.since end
  if old and old.body == body then
    new.changed, new.revision = old.changed, old.revision
  elseif waiting + #out >= mostOut then
    return { 'wait' }
  elseif not old and redis.call('ZCARD', key) >= most then
    return { 'topic' }
  elseif not old and all + change >= mostAll then
    return { 'namespace' }
  else
    new.revision = revise()
  end
  if not old and since > 0 and since < now then new.since = digits(since) end
  if not old or old.body ~= body or old.lease ~= lease then
    if old then
      redis.call('ZREM', key, old.text)
      if old.lease ~= lease then let(place, old.lease) end
    else
      change = change + 1
      redis.call('ZADD', prefix .. 'topics', 0, topic)
    end
    redis.call('ZADD', key, 0, textOf(ref, new))
    redis.call('SADD', prefix .. 'h:' .. lease, place)
  end
  if not old then
    out[#out + 1] = 'e' .. topic .. '\\0' .. textOf(ref, new)
  elseif old.body ~= body then
    out[#out + 1] = 'u' .. topic .. '\\0' .. textOf(ref, new)
  end
  if ttl > 0 then
    redis.call('ZADD', prefix .. 'ttl', digits(now + ttl), place)
    return { new.since, new.changed, new.revision, digits(now + ttl) }
  end
  redis.call('ZREM', prefix .. 'ttl', place)
  return { new.since, new.changed, new.revision, '' }
end

local answers = {}
for i = 7, #ARGV, 5 do
  answers[#answers + 1] = put(ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]))
end
finish()
return answers`);

/**
 * Takes off: `prefix, lease, linger in ms`, then `topic, ref` of each. What another lease holds stays. Says how many changed; -1
 * where nothing was entered under this lease, unless it was lost.
 */
export const leaveScript = new Script(`${tools}
local lease, linger, count = ARGV[2], tonumber(ARGV[3]), 0
if redis.call('SISMEMBER', prefix .. 'holders', lease) == 0 then return -1 end
for i = 4, #ARGV, 2 do
  local topic, ref = ARGV[i], ARGV[i + 1]
  local old, place = find(topic, ref), topic .. '\\0' .. ref
  if old and old.lease == lease then
    count = count + 1
    let(place, lease)
    if linger == 0 then
      remove(topic, ref, old, 'l')
    else
      redis.call('ZREM', prefix .. 't:' .. topic, old.text)
      old.lease = '-'
      redis.call('ZADD', prefix .. 't:' .. topic, 0, textOf(ref, old))
      redis.call('ZADD', prefix .. 'ttl', digits(now + linger), place)
    end
  end
end
finish()
return count`);

/**
 * Looks after a namespace: `prefix, most`. At most so many members whose time has run out leave. Answers the epoch, how many
 * changes wait, how many left, and the leases that something was entered under.
 */
export const tendScript = new Script(`${tools}
local due = redis.call('ZRANGEBYSCORE', prefix .. 'ttl', '-inf', digits(now), 'LIMIT', 0, ARGV[2])
for _, place in ipairs(due) do
  local topic, ref = split(place)
  local old = find(topic, ref)
  if old then
    let(place, old.lease)
    remove(topic, ref, old, 'x')
  else
    redis.call('ZREM', prefix .. 'ttl', place)
  end
end
finish()
return { redis.call('HGET', meta, 'e') or '', redis.call('LLEN', prefix .. 'out'), #due, redis.call('SMEMBERS', prefix .. 'holders') }`);

/**
 * Releases what hangs on a lease that has ended: `prefix, lease, kind, most, tombstone in seconds`. Says how many members left;
 * less than the most, and nothing is left of it.
 */
export const releaseScript = new Script(`${tools}
local lease, kind = ARGV[2], ARGV[3]
redis.call('SET', prefix .. 'end:' .. lease, '1', 'EX', ARGV[5])
local places = redis.call('SPOP', prefix .. 'h:' .. lease, ARGV[4])
for _, place in ipairs(places) do
  local topic, ref = split(place)
  local old = find(topic, ref)
  if old and old.lease == lease then remove(topic, ref, old, kind) end
end
if redis.call('EXISTS', prefix .. 'h:' .. lease) == 0 then redis.call('SREM', prefix .. 'holders', lease) end
finish()
return #places`);

/**
 * `prefix, topic, low, high, most, most bytes`: how many members the topic has, 1 where there are more behind this page, then of
 * each of the page the record and when it leaves by itself. The first is there however large it is. Read a few at a time, so that
 * no more than the page is ever copied.
 */
export const listScript = new Script(`
local prefix, topic, low, most, room = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6])
local key, count, step = prefix .. 't:' .. topic, 0, math.min(32, most + 1)
local answer = { redis.call('ZCARD', key), 0 }
while true do
  local found = redis.call('ZRANGEBYLEX', key, low, ARGV[4], 'LIMIT', 0, step)
  for _, text in ipairs(found) do
    room = room - #text
    if count == most or (count > 0 and room < 0) then
      answer[2] = 1
      return answer
    end
    local ref = string.match(text, '^(%Z*%z%Z*)%z')
    count = count + 1
    answer[#answer + 1] = text
    answer[#answer + 1] = redis.call('ZSCORE', prefix .. 'ttl', topic .. '\\0' .. ref) or ''
  end
  if #found < step then return answer end
  low = '(' .. found[step]
end`);

/** `prefix, low, most`: the last revision, how many members there are, and a page of the topics that have some. */
export const topicsScript = new Script(`
local meta = redis.call('HMGET', KEYS[1], 'r', 'n')
return { meta[1] or '0', meta[2] or '0', redis.call('ZRANGEBYLEX', ARGV[1] .. 'topics', ARGV[2], '+', 'LIMIT', 0, ARGV[3]) }`);

/**
 * Goes on publishing: `prefix, token, published, most, life in ms`. Takes off what was published, and answers the next that
 * wait; none, and the lock is given up. Answers false to who does not have the lock (any more).
 */
export const drainScript = new Script(`
local lock, out = ARGV[1] .. 'lock', ARGV[1] .. 'out'
local held = redis.call('GET', lock)
if held ~= ARGV[2] and (held or ARGV[3] ~= '0') then return false end
if ARGV[3] ~= '0' then redis.call('LTRIM', out, ARGV[3], -1) end
local next = redis.call('LRANGE', out, 0, ARGV[4] - 1)
if #next == 0 then
  redis.call('DEL', lock)
else
  redis.call('SET', lock, ARGV[2], 'PX', ARGV[5])
end
return next`);

/** `prefix, token`: gives the lock up. */
export const yieldScript = new Script(`
if redis.call('GET', ARGV[1] .. 'lock') == ARGV[2] then redis.call('DEL', ARGV[1] .. 'lock') end
return 0`);

// Of the hash of leases; the hash of namespaces lies in the same slot.

/** Takes or renews: `id, service, may begin`. Answers 'ended', 'new' or 'resumed'. */
export const renewScript = new Script(`
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then
  if ARGV[3] == '0' then return 'ended' end
  redis.call('HSET', KEYS[1], ARGV[1], '1 ' .. ARGV[2])
  return 'new'
end
local count = string.match(held, '^%d+')
if not count then return 'ended' end
redis.call('HSET', KEYS[1], ARGV[1], (count + 1) .. ' ' .. ARGV[2])
return 'resumed'`);

/** `id, as it was seen or nothing, ending`: marks a lease as ended, if it was not renewed since. Says whether it is now. */
export const endScript = new Script(`
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or (ARGV[2] ~= '' and held ~= ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`);

/** `id, ending`: forgets a lease that has ended. */
export const forgetScript = new Script(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])`);

/**
 * Notes that something is about to be entered in a namespace: `namespaces' key, id, namespace, epoch, Unix ms`. Answers
 * 'ended' for a lease that is not live, and 'lost' where the namespace had another epoch: all leases end then, so
 * that everybody enters again.
 */
export const registerScript = new Script(`
local lease = redis.call('HGET', KEYS[1], ARGV[2])
if not lease or not string.match(lease, '^%d') then return 'ended' end
local held = redis.call('HGET', ARGV[1], ARGV[3])
redis.call('HSET', ARGV[1], ARGV[3], ARGV[4] .. ' ' .. ARGV[5])
if held and string.match(held, '^%S+') ~= ARGV[4] then
  redis.call('DEL', KEYS[1])
  return 'lost'
end
return 'registered'`);

/** `namespaces' key, namespace, as it was seen, lost`: forgets a namespace; where it is lost, all leases end with it. */
export const dropScript = new Script(`
if redis.call('HGET', ARGV[1], ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HDEL', ARGV[1], ARGV[2])
if ARGV[4] == '1' then redis.call('DEL', KEYS[1]) end
return 1`);
