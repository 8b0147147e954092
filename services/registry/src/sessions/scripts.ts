// What Redis does in one step. Each script touches one key, but for that of the commits.

import { Script } from '../redis.ts';

/**
 * Raises the generation: `generation, incarnation, force, left, number`. Answers the hash in pairs, false where a later generation is
 * there. What is of another incarnation is dropped, and what is older than commit `number` of generation `left`, with
 * which the session was released; where forced, so is what is of a later generation.
 */
export const takeScript = new Script(`
local held = redis.call('HMGET', KEYS[1], 'g', 'i', 'b')
local later = held[1] and tonumber(held[1]) > tonumber(ARGV[1])
if later and ARGV[3] == '0' then return false end
local at, left = tonumber(held[1] or 0), tonumber(ARGV[4])
local older = at < left or (at == left and tonumber(held[3] or 0) < tonumber(ARGV[5]))
if later or older or held[2] ~= ARGV[2] then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'i', ARGV[2], 'b', 0)
return redis.call('HGETALL', KEYS[1])`);

/** Raises the generation of what is there: `generation`. */
export const fenceScript = new Script(`
local held = redis.call('HGET', KEYS[1], 'g')
if not held or tonumber(held) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'g', ARGV[1])
return 1`);

/** Forgets what is of this generation or an earlier one: `generation`. */
export const dropScript = new Script(`
local held = redis.call('HGET', KEYS[1], 'g')
if not held or tonumber(held) > tonumber(ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])`);

/**
 * Writes to each key in turn: how many arguments it has, and then `generation, incarnation or nothing, most bytes, whole,
 * has cursor, cursor, number, puts`, name and value of each put, and the names that are removed. With an incarnation it
 * begins anew where the state is lost. Answers 'stored', 'fenced', 'lost' or 'large' for each.
 */
export const commitScript = new Script(`
local function commit(key, at, size)
  local held = redis.call('HMGET', key, 'g', 'n', 'c', 'b')
  local stored, mine, most = tonumber(held[1] or 0), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
  if stored > mine then return 'fenced' end
  local anew = stored < mine
  if anew and ARGV[at + 2] == '' then return 'lost' end
  local number, before = tonumber(ARGV[at + 7]), tonumber(held[4] or 0)
  if not anew and number < before then return 'stored' end
  -- Redis has gone back, by a restart or a failover: what the commits between changed is not there.
  if not anew and ARGV[at + 4] == '0' and number > before + 1 then return 'lost' end
  local whole, bytes, last = anew or ARGV[at + 4] == '1', 0, at + 8 + 2 * tonumber(ARGV[at + 8])
  if not whole then bytes = tonumber(held[2] or 0) end
  local function sizeOf(name)
    local length = redis.call('HSTRLEN', key, 'f' .. name)
    if length == 0 and redis.call('HEXISTS', key, 'f' .. name) == 0 then return 0 end
    return length + #name
  end
  for i = at + 9, last, 2 do
    bytes = bytes + #ARGV[i] + #ARGV[i + 1]
    if not whole then bytes = bytes - sizeOf(ARGV[i]) end
  end
  if not whole then
    for i = last + 1, at + size do bytes = bytes - sizeOf(ARGV[i]) end
  end
  if bytes > most then return 'large' end
  local set = { 'HSET', key, 'n', bytes, 'b', ARGV[at + 7] }
  if whole then
    local incarnation = anew and ARGV[at + 2] or redis.call('HGET', key, 'i')
    redis.call('DEL', key)
    redis.call('HSET', key, 'g', ARGV[at + 1], 'i', incarnation)
    if held[3] and not anew then redis.call('HSET', key, 'c', held[3]) end
  else
    for i = last + 1, at + size do redis.call('HDEL', key, 'f' .. ARGV[i]) end
  end
  for i = at + 9, last, 2 do
    set[#set + 1], set[#set + 2] = 'f' .. ARGV[i], ARGV[i + 1]
  end
  if ARGV[at + 5] == '1' then set[#set + 1], set[#set + 2] = 'c', ARGV[at + 6] end
  redis.call(unpack(set))
  return 'stored'
end

local answers, at = {}, 1
for i, key in ipairs(KEYS) do
  local size = tonumber(ARGV[at])
  answers[i] = commit(key, at, size)
  at = at + size + 1
end
return answers`);

/** Takes a session off an instance, unless it is known there since: `ref, revision`. */
export const disownScript = new Script(`
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not at or tonumber(at) > tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])`);

/** What is next of a session, unless that changed: `ref, as it was seen, next or nothing`. */
export const dueScript = new Script(`
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then return redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1`);

/** Joins a group: `ref, new id`. Answers the group's id, which is the new one where it has no member. */
export const joinScript = new Script(`
local first = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
local id = first and string.match(first, '^%S+') or ARGV[2]
redis.call('ZADD', KEYS[1], 0, id .. ' ' .. ARGV[1])
return id`);

/** Leaves a group: `ref, id`. Answers how many members with this id are left: 0 or 1. */
export const leaveScript = new Script(`
redis.call('ZREM', KEYS[1], ARGV[2] .. ' ' .. ARGV[1])
return #redis.call('ZRANGEBYLEX', KEYS[1], '[' .. ARGV[2] .. ' ', '(' .. ARGV[2] .. '!', 'LIMIT', 0, 1)`);
