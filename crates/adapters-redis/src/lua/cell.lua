-- What every script begins with: the cell's tables, what is asked, and how the cell's own row is laid out.
--
-- KEYS are the cell's tables, in the order of keys.rs. ARGV[1] is what is asked, and what is returned is the answer, both
-- as MessagePack. A row is an array whose first element is its version; none is false, and an absent number -1.
--
-- Of this file and of step.lua and life.lua a script has what it names, put together by scripts/link.rs, which knows a
-- statement by its beginning at the margin, and puts numbers in the place of their names in capitals.

local CELL, CONTAINERS, BODIES, OUTPUTS, WORKERS, BEATS, LOTS, USAGE =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local READY, PARKED, OWNED, PHASES, WORKSPACES, ENDED, CHANGES, FLEET =
  KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]

local call, pack, unpack_row, unpack_fields = redis.call, cmsgpack.pack, cmsgpack.unpack, cmsgpack.unpack_limit
local type, ipairs = type, ipairs
local envelope = unpack_row(ARGV[1])
local asked, word = envelope[1], envelope[2]

local VERSION = 1
local ITEMS_MAX = 5000 -- what one call reads or carries at most
local ARGUMENTS_MAX = 4000 -- what one command is given at most: `unpack` fails beyond about 8,000

-- The cell's own row.
local K = {
  history = 2, revision = 3, now = 4, planner = 5, stamp = 6, term = 7, phases = 8, ready = 9, woken = 10,
  ordered = 11, gone = 12, floor = 13, rewind = 14, settling = 15, away = 16, run = 17,
}

-- Where each phase is counted in K.phases, and how a container's row keeps it.
local PHASE = {
  pending = 1, placed = 2, starting = 3, running = 4, stopping = 5, succeeded = 6, failed = 7, stopped = 8,
}
local WORDS = { 'pending', 'placed', 'starting', 'running', 'stopping', 'succeeded', 'failed', 'stopped' }
-- Under which letter of PHASES a phase is listed: those that own room share one, so that going on costs no index.
local LETTER = {
  pending = 'p', placed = 'l', starting = 'l', running = 'l', stopping = 'l', succeeded = 's', failed = 'f', stopped = 'x',
}

-- Which run of which server this is: another word after each restart and each change of primary.
local function run_of_server()
  return string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
end

-- The word by which callers know a run of a server: numbers of another one say nothing.
local function boot_of(run)
  return tonumber(string.sub(run, 1, 13), 16)
end

-- The row that bytes hold, if `check` finds in it what a step reads; nil if they hold none. A check does sums over what has
-- to be numbers, which fail if one is none.
local function decoded(raw, check)
  local is_row, row = pcall(unpack_row, raw)
  if not is_row or type(row) ~= 'table' or row[1] ~= VERSION then
    return nil
  end
  local is_checked, is_sound = pcall(check, row)
  return is_checked and is_sound and row or nil
end

-- The row that bytes hold, of so many fields; nil if they hold none. `row_of` is given them one by one, so that no table
-- grows field by field; it fails, or answers nil, if it does not find what a step reads.
local function read_fields(row_of, raw, count)
  local marker, high, low = string.byte(raw, 1, 3)
  return marker == 0xdc and high == 0 and low == count and row_of(unpack_fields(raw, count, 3))
end

local function decoded_fields(row_of, raw, count)
  local is_row, row = pcall(read_fields, row_of, raw, count)
  return is_row and row or nil
end

local function is_table(value)
  return type(value) == 'table'
end

local function is_text(value)
  return type(value) == 'string'
end

local function corrupt(what)
  error('CORRUPT ' .. what, 0)
end

local TYPES = {
  [CELL] = 'string', [CONTAINERS] = 'hash', [BODIES] = 'hash', [OUTPUTS] = 'hash', [WORKERS] = 'hash', [BEATS] = 'hash',
  [LOTS] = 'hash', [USAGE] = 'hash', [READY] = 'zset', [PARKED] = 'zset', [OWNED] = 'zset', [PHASES] = 'zset',
  [WORKSPACES] = 'zset', [ENDED] = 'zset', [CHANGES] = 'zset', [FLEET] = 'zset',
}

-- Fails if a table's key holds something else.
local function check_type(table_key)
  local found = call('TYPE', table_key).ok
  if found ~= 'none' and found ~= TYPES[table_key] then
    corrupt(table_key .. ': it is a ' .. found .. ', not a ' .. TYPES[table_key])
  end
end

local function is_cell(row)
  local sum = row[K.history] + row[K.revision] + row[K.now] + row[K.stamp] + row[K.term] + row[K.ready] + row[K.woken]
    + row[K.ordered] + row[K.gone] + row[K.floor] + row[K.away]
  return sum and is_table(row[K.phases]) and is_text(row[K.run])
end

-- The cell's own row, and its bytes; nothing if there is none.
local function read_cell()
  local raw = call('GET', CELL)
  if not raw then
    return nil
  end
  return decoded(raw, is_cell) or corrupt('the row of the cell'), raw
end

-- All that `read` answers for many fields, asked in bites.
local function in_bites(names, read)
  if #names > 0 and #names <= ARGUMENTS_MAX then
    return read(unpack(names))
  end
  local all, from = {}, 1
  while from <= #names do
    local upto = math.min(from + ARGUMENTS_MAX - 1, #names)
    local bite = read(unpack(names, from, upto))
    for at = 1, upto - from + 1 do
      all[from + at - 1] = bite[at]
    end
    from = upto + 1
  end
  return all
end

-- The fields of a hash by their names, in order; false where there is none.
local function fields(table_key, names)
  return in_bites(names, function(...)
    return call('HMGET', table_key, ...)
  end)
end

-- The same as answers tell it: each name with its row, which is empty where there is none.
local function rows_of(table_key, ids)
  local rows = {}
  for at, row in ipairs(fields(table_key, ids)) do
    rows[at] = { ids[at], row or '' }
  end
  return rows
end

-- Whether text is before other text, byte by byte, whatever the server's locale.
local function is_before(a, b)
  for at = 1, math.min(#a, #b) do
    local x, y = string.byte(a, at), string.byte(b, at)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

-- A place in line as bytes that sort as places do: rank, revision, position. The first is never 255.
local RANK_BIAS = 8589934592 -- ranks go below 0 by at most the worth of a priority of 100
local PLACE_BYTES = 16

local function place_in_line(rank, revision, position)
  return struct.pack('>I7I7I2', rank + RANK_BIAS, revision, position)
end

-- A place in line and what stands there, read back from `member` beginning at `from`.
local function read_place(member, from)
  local rank, revision, position = struct.unpack('>I7I7I2', member, from)
  return rank - RANK_BIAS, revision, position, string.sub(member, from + PLACE_BYTES)
end

-- The least that is after a place in line, or the least that begins with `prefix`.
local function lower_bound(prefix, after)
  return after and '(' .. prefix .. after .. '\255' or '[' .. prefix
end

-- Ready requests after a place in line, first in line first.
local function read_ready(after, limit)
  return call('ZRANGEBYLEX', READY, after and lower_bound('', after) or '-', '+', 'LIMIT', 0, limit)
end

-- What stands before the places of a lot's requests, and of no other lot's: so many bytes of the SHA-1 of its name.
local LOT_BYTES = 10
local lot_prefixes = {}

local function lot_prefix(lot)
  local prefix = lot_prefixes[lot]
  if not prefix then
    local digits = redis.sha1hex(lot)
    prefix = struct.pack('>I5I5', tonumber(string.sub(digits, 1, 10), 16), tonumber(string.sub(digits, 11, 20), 16))
    lot_prefixes[lot] = prefix
  end
  return prefix
end

-- The requests of a lot after a place in line, first in line first, each as its place and its id.
local function read_parked(lot, after, limit)
  local prefix = lot_prefix(lot)
  return call('ZRANGEBYLEX', PARKED, lower_bound(prefix, after), '(' .. prefix .. '\255', 'LIMIT', 0, limit)
end
