// What Redis does in one step. Every script names the mark of its namespace as its key and derives the others from
// the prefix: they have the same hash tag, hence the same slot.

import { Script } from '../redis.ts';

const tools = `
local prefix, era = ARGV[1], ARGV[2]
local all, wild = prefix .. 'all', prefix .. 'wild'
local function parse(record)
  local kind, state, region, wildcard, length, rest = string.match(record, '^%S+ (.)(.)(.)(.) (%d+) (.*)$')
  local owner, filter = string.sub(rest, 1, length), string.sub(rest, length + 1)
  return { kind = kind, state = state, region = region, wildcard = wildcard, owner = owner, filter = filter }
end
`;

/** A mark of another log is none. */
const marked = `
local held = redis.call('HMGET', KEYS[1], 'e', 'r', 'at')
local answer = held[1] == ARGV[2] and { held[2] or '-1', held[3] or '0' } or { '-1', '0' }
`;

/**
 * Applies changes of a namespace in the order of their revisions: `prefix, era, fence, prev, to, now, change…`. Those at
 * or before the mark are in already.
 *
 * Without a fence `prev` is the revision of the namespace's change before the first of these: where the mark is behind
 * it, something is missing, nothing is done, and the answer is the mark, -1 where there is none. With a `prev` of 0
 * these are the first, and there must be nothing. Otherwise the mark moves to `to`, and the answer is not less.
 *
 * With a fence it must be that of who rebuilds the namespace; there is no mark then, and the answer is 0, or -1 where
 * somebody else rebuilds it. `to` is the fence from then on: a copy of Redis that comes back in the middle of a rebuild
 * has an earlier one, and lacks what was written since.
 */
export const applyScript = new Script(`${tools}
local fence, prev, to = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local held = redis.call('HMGET', KEYS[1], 'e', 'r', 'b')
local mark = held[1] == era and tonumber(held[2] or -1) or -1
if fence ~= '' then
  if held[3] ~= fence then return -1 end
elseif prev > 0 then
  if mark < prev then return mark end
elseif mark >= 0 then
  if mark < to then return mark end
elseif held[2] or held[3] or redis.call('EXISTS', all) == 1 then
  return -1
else
  redis.call('HSET', KEYS[1], 'e', era)
end

local function take(id)
  local record = redis.call('ZRANGEBYLEX', all, '[' .. id .. ' ', '(' .. id .. '!', 'LIMIT', 0, 1)[1]
  if not record then return nil end
  local old = parse(record)
  redis.call('ZREM', all, record)
  redis.call('ZREM', prefix .. 'own:' .. old.owner, id)
  if old.region ~= '-' then
    local key, from, to = prefix .. old.kind .. ':' .. old.filter, '[' .. old.region .. id .. ' ', '(' .. old.region .. id .. '!'
    if old.region == '0' then
      old.since = string.match(redis.call('ZRANGEBYLEX', key, from, to)[1] or '', '^%S+ (%d*)')
    end
    redis.call('ZREMRANGEBYLEX', key, from, to)
    if redis.call('EXISTS', key) == 0 then
      redis.call('HINCRBY', KEYS[1], 'f', -1)
      if old.wildcard == 'w' then redis.call('ZREM', wild, old.kind .. old.filter) end
    end
  end
  return old
end

local records, filters, wildcards = {}, 0, {}
local function enter(revision, id, record, tail, old)
  local new = parse(record)
  records[#records + 1], records[#records + 2] = 0, record
  redis.call('ZADD', prefix .. 'own:' .. new.owner, 0, id)
  if new.region == '-' then return end
  local since = ''
  if new.region == '0' then
    if fence ~= '' or (old and old.region == '1') then
      since = revision
      redis.call('HSET', KEYS[1], 'o', revision)
    elseif old then
      since = old.since or ''
    end
  end
  local key = prefix .. new.kind .. ':' .. new.filter
  redis.call('ZADD', key, 0, new.region .. id .. ' ' .. since .. ' ' .. tail)
  if redis.call('ZCARD', key) > 1 then return end
  filters = filters + 1
  if new.wildcard == 'w' then wildcards[#wildcards + 1], wildcards[#wildcards + 2] = 0, new.kind .. new.filter end
end

local function flush()
  if #records > 0 then redis.call('ZADD', all, unpack(records)) end
  if #wildcards > 0 then redis.call('ZADD', wild, unpack(wildcards)) end
  if filters > 0 then redis.call('HINCRBY', KEYS[1], 'f', filters) end
  records, filters, wildcards = {}, 0, {}
end

for i = 7, #ARGV, 4 do
  local revision, id, record, tail = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if tonumber(revision) > mark then
    local old = fence == '' and take(id) or nil
    if record ~= '' then enter(revision, id, record, tail, old) end
    -- A reading of the log has each subscription once, and the namespace was empty; a step may have it again.
    if fence == '' or #records >= 400 then flush() end
  end
end
flush()
if fence ~= '' then
  redis.call('HSET', KEYS[1], 'b', ARGV[5])
  return 0
end
if to > mark then
  redis.call('HSET', KEYS[1], 'r', ARGV[5], 'at', ARGV[6])
  mark = to
end
return mark`);

/**
 * Takes the mark away and claims the namespace for who rebuilds it, where it was not claimed; then takes out what is
 * there: `prefix, era, fence, count, begin, next`, where `next` is the fence from then on. Says how many of at most `count` records it met; -1: somebody else rebuilds.
 */
export const wipeScript = new Script(`${tools}
if ARGV[5] == '1' then
  redis.call('DEL', KEYS[1])
elseif redis.call('HGET', KEYS[1], 'b') ~= ARGV[3] then
  return -1
end
redis.call('HSET', KEYS[1], 'b', ARGV[6])
local records = redis.call('ZRANGE', all, 0, ARGV[4] - 1)
for _, record in ipairs(records) do
  local old = parse(record)
  redis.call('UNLINK', prefix .. 'own:' .. old.owner)
  if old.region ~= '-' then redis.call('UNLINK', prefix .. old.kind .. ':' .. old.filter) end
end
redis.call('ZREMRANGEBYRANK', all, 0, ARGV[4] - 1)
if #records == 0 then redis.call('UNLINK', wild) end
return #records`);

/** Ends a rebuild: `prefix, era, fence, to, now`. Says 1, or 0 where somebody else has taken it over. */
export const finishScript = new Script(`
if redis.call('HGET', KEYS[1], 'b') ~= ARGV[3] then return 0 end
redis.call('HDEL', KEYS[1], 'b')
redis.call('HSET', KEYS[1], 'e', ARGV[2], 'r', ARGV[4], 'at', ARGV[5], 'o', ARGV[4])
return 1`);

/**
 * Pages of members: `prefix, era, kind, budget`, then for each question `low, high, limit, n` and n filters. Answers the
 * mark, `at`, `o`, how many wildcard filters there are, and for each question in turn a page of each of its filters,
 * until the budget of members is used up.
 */
export const matchScript = new Script(`${marked}
local prefix, left = ARGV[1] .. ARGV[3] .. ':', tonumber(ARGV[4])
answer[3] = redis.call('HGET', KEYS[1], 'o') or '0'
answer[4] = redis.call('ZCARD', ARGV[1] .. 'wild')
local i, n = 5, #ARGV
while i <= n and left > 0 do
  local low, high, limit, last = ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 3 + ARGV[i + 3]
  for j = i + 4, last do
    local page = redis.call('ZRANGEBYLEX', prefix .. ARGV[j], low, high, 'LIMIT', 0, limit)
    answer[#answer + 1] = page
    left = left - #page
  end
  i = last + 1
end
return answer`);

/**
 * A page of ids: `prefix, era, after, look, limit, owner, kind, state, filter`; what is empty does not narrow. Answers the
 * mark, `at`, behind which id to go on, empty at the end, and the ids.
 */
export const listScript = new Script(`${tools}${marked}
local after, look, limit, owner, kind, state, filter = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local low = after == '' and '-' or '(' .. after .. '!'
local looked = owner == '' and redis.call('ZRANGEBYLEX', all, low, '+', 'LIMIT', 0, look)
  or redis.call('ZRANGEBYLEX', prefix .. 'own:' .. owner, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, look)
answer[3] = ''
local plain = kind == '' and state == '' and filter == ''
local function fits(record)
  local entry = parse(record)
  return (kind == '' or entry.kind == kind) and (state == '' or entry.state == state)
    and (filter == '' or entry.filter == filter)
end
for index, member in ipairs(looked) do
  local id, record = string.match(member, '^%S+'), member
  if owner ~= '' and not plain then
    record = redis.call('ZRANGEBYLEX', all, '[' .. id .. ' ', '(' .. id .. '!', 'LIMIT', 0, 1)[1]
  end
  if plain or fits(record) then answer[#answer + 1] = id end
  if #answer - 3 == limit or index == tonumber(look) then
    answer[3] = id
    break
  end
end
return answer`);

/** `prefix, era, low, count`: the mark, `at`, and a page of the distinct wildcard filters. */
export const wildScript = new Script(`${marked}
answer[3] = redis.call('ZRANGEBYLEX', ARGV[1] .. 'wild', ARGV[3], '+', 'LIMIT', 0, ARGV[4])
return answer`);

/** `prefix, era`: the mark, `at`, and how many subscriptions, filters and wildcard filters there are. */
export const countScript = new Script(`${marked}
answer[3] = redis.call('ZCARD', ARGV[1] .. 'all')
answer[4] = tonumber(redis.call('HGET', KEYS[1], 'f') or 0)
answer[5] = redis.call('ZCARD', ARGV[1] .. 'wild')
return answer`);
