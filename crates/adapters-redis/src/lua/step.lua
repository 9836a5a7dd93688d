-- The overlay of one step, as in domain::model: reads see what the step has decided, and every consequence of a
-- container's change is booked in one place. Nothing is written before `finish`, and nothing fails once it writes.

-- A container's row.
local C = {
  state = 2, lot = 3, place = 4, cause = 5, attempt = 6, placed_in = 7, failures = 8, placed_at = 9, taken_at = 10,
  running_at = 11, changed = 12, over = 13, workspace = 14, cpu = 15, memory = 16, gpus = 17, milli = 18, keeps = 19,
  ahead = 20, revision = 21, position = 22, submitted = 23, digest = 24, ask = 25,
}
-- A container's place on a worker.
local P = {
  worker = 1, incarnation = 2, order = 3, cpu = 4, memory = 5, milli = 6, devices = 7,
}
-- How an attempt was over.
local E = {
  what = 1, forever = 2, is_failure = 3, attempt = 4, worker = 5, at = 6,
}
-- A worker's row.
local W = {
  life = 2, boot = 3, closed = 4, within = 5, due = 6, key = 7, incarnation = 8, registered = 9, complete = 10,
  ready = 11, cpu = 12, memory = 13, containers = 14, milli = 15, total_cpu = 16, total_memory = 17, total_gpus = 18,
  changed = 19, spec = 20,
}
-- A lot's row.
local L = {
  count = 2, rank = 3, revision = 4, position = 5, ask = 6, why = 7, changed = 8,
}
-- How a worker was before the step, as far as what follows from a change depends on it.
local B = {
  is_open = 1, incarnation = 2, spec = 3, is_missing = 4, life = 5, containers = 6,
}
-- What a workspace uses.
local U = {
  cpu = 2, memory = 3, gpu = 4, containers = 5, changed = 6,
}

local GPU_WHOLE = 1000

local KEEP, STOP, CORRUPT = 'keep', 'stop', 'corrupt' -- lots that are one of a kind
local OWN = '=' -- in a row: the lot of its own shape
local NO_WORKERS = '1"no_workers"' -- why the requests of a lot wait of whom nobody has said why

local cell, cell_before = read_cell()
if not cell then
  do return pack('no_cell') end
end
local run = run_of_server()
local boot = boot_of(run)
if cell[K.run] ~= run and not asked.rewinding then
  -- Another run of the server wrote last: what this one was told may be lost.
  do return pack({ rewind = { cell[K.history], cell[K.revision], run, true } }) end
end

local history_before, revision_before = cell[K.history], cell[K.revision]
local revision = revision_before + 1
local now_before = cell[K.now]
local now = math.max(now_before, asked.now or 0)
cell[K.revision], cell[K.now] = revision, now
local score = string.format('%.0f', revision) -- as commands are given it: they would print each number anew

-- What was read, and what becomes of it. Rows are changed where they stand; their bytes tell how they were. What is put is
-- written in the order in which it was put: that is how it lies in memory, and mostly how tables are sorted.
local container_bytes, containers, containers_put, container_order, container_written = {}, {}, {}, {}, {}
local worker_bytes, workers, workers_before, workers_put, worker_order = {}, {}, {}, {}, {}
local usage_before, usage_after = {}, {}
local lots = {}
local beats_before, numbers = {}, {}
local new_bodies, new_outputs, forgotten, gone, gone_forgotten, parked_corrupt = {}, {}, {}, {}, {}, {}
local ordered_workers = {}
local ILLEGIBLE = {}

local function is_place(place)
  local sum = place[P.incarnation] + place[P.order] + place[P.cpu] + place[P.memory] + place[P.milli]
  return sum and is_text(place[P.worker]) and is_table(place[P.devices])
end

local CONTAINER_FIELDS = 25
local WORKER_FIELDS = 20

local function within(some, key)
  local found = some[key] or {}
  some[key] = found
  return found
end

-- The lot of the shape of who asks for nothing but cpu and memory, spelt as the domain spells shapes. Rows leave it out.
local OWN_LOT = 'shape:%s cpu=%.0f mem=%.0f'
local own_lots = {}

local function own_lot(workspace, cpu, memory)
  local alike = own_lots[workspace]
  alike = alike and alike[cpu]
  local name = alike and alike[memory]
  if not name then
    name = string.format(OWN_LOT, workspace, cpu, memory)
    within(within(own_lots, workspace), cpu)[memory] = name
  end
  return name
end

-- A container's row as it is kept.
local function packed_container(row)
  local state, lot = row[C.state], row[C.lot]
  row[C.state] = PHASE[state]
  if lot ~= '' and row[C.ask] == '' and lot == own_lot(row[C.workspace], row[C.cpu], row[C.memory]) then
    row[C.lot] = OWN
  end
  local packed = pack(row)
  row[C.state], row[C.lot] = state, lot
  return packed
end

-- A container's row of its fields, in the order of C. The sums fail if something is no number.
local function container_row(rest, version, state, lot, place, cause, attempt, placed_in, failures, placed_at, taken_at,
  running_at, changed, over, workspace, cpu, memory, gpus, milli, keeps, ahead, submitted_in, position, submitted, digest,
  ask)
  local sum = attempt + placed_in + failures + placed_at + taken_at + running_at + cpu + memory + gpus + milli + ahead
    + submitted_in + position + submitted
  return sum and rest == -1 and version == VERSION and WORDS[state] and type(lot) == 'string' and type(cause) == 'string'
    and type(workspace) == 'string' and type(keeps) == 'boolean' and type(ask) == 'string'
    and (not place or is_place(place)) and (not over or is_text(over[E.what])) and {
      version, WORDS[state], lot == OWN and own_lot(workspace, cpu, memory) or lot, place, cause, attempt, placed_in, failures,
      placed_at, taken_at, running_at, changed, over, workspace, cpu, memory, gpus, milli, keeps, ahead, submitted_in,
      position, submitted, digest, ask,
    }
end

-- A worker's row of its fields, in the order of W.
local function worker_row(rest, version, life, boot_within, closed, within, due, key, incarnation, registered, complete,
  ready, cpu, memory, count, milli, total_cpu, total_memory, total_gpus, changed, spec)
  local sum = incarnation + registered + cpu + memory + count + total_cpu + total_memory + total_gpus
  return sum and rest == -1 and version == VERSION and type(life) == 'string' and type(closed) == 'string'
    and type(milli) == 'table' and type(spec) == 'string' and {
      version, life, boot_within, closed, within, due, key, incarnation, registered, complete, ready, cpu, memory, count,
      milli, total_cpu, total_memory, total_gpus, changed, spec,
    }
end

local function is_lot(row)
  return row[L.count] + row[L.rank] + row[L.revision] + row[L.position] and is_text(row[L.why])
end

local function is_usage(row)
  return row[U.cpu] + row[U.memory] + row[U.gpu] + row[U.containers]
end

-- Has `read` take those rows of a table that are not among the `known`, all asked for at once.
local function read_ahead(table_key, ids, known, read)
  for at, raw in ipairs(fields(table_key, ids)) do
    if known[ids[at]] == nil then
      read(ids[at], raw)
    end
  end
end

local function ids_of(items)
  local ids = {}
  for at, item in ipairs(items) do
    ids[at] = item.id
  end
  return ids
end

local function read_container(id, raw)
  container_bytes[id] = raw
  local row = raw and (decoded_fields(container_row, raw, CONTAINER_FIELDS) or ILLEGIBLE)
  containers[id] = row
  return row
end

-- A container as the step has left it; false if there is none.
local function container(id)
  local row = containers[id]
  if row == nil then
    row = read_container(id, call('HGET', CONTAINERS, id))
  end
  return row
end

-- A container as the step has left it; false also for one that cannot be decoded, which must not hurt others.
local function legible(id)
  local row = container(id)
  return row ~= ILLEGIBLE and row
end

local function status_of(row)
  if row[W.life] == 'lost' then
    return 'lost'
  elseif row[W.closed] == 'draining' then
    return row[W.containers] == 0 and 'drained' or 'draining'
  elseif row[W.closed] == 'cordoned' then
    return 'cordoned'
  elseif row[W.life] == 'pending' or not row[W.complete] or not row[W.ready] then
    return 'pending'
  end
  return 'available'
end

local function read_worker(id, raw)
  worker_bytes[id] = raw
  local row = raw and (decoded_fields(worker_row, raw, WORKER_FIELDS) or ILLEGIBLE)
  workers[id] = row
  if row and row ~= ILLEGIBLE then
    workers_before[id] = {
      status_of(row) == 'available', row[W.incarnation], row[W.spec], row[W.registered] ~= history_before, row[W.life],
      row[W.containers],
    }
  end
  return row
end

-- A worker as the step has left it; false if there is none, and also if it cannot be decoded.
local function legible_worker(id)
  local row = workers[id]
  if row == nil then
    row = read_worker(id, call('HGET', WORKERS, id))
  end
  return row ~= ILLEGIBLE and row
end

-- A worker as the step has left it; false if there is none.
local function worker(id)
  local row = legible_worker(id)
  return row or workers[id] == ILLEGIBLE and corrupt('worker ' .. id)
end

local function put_worker(id, row)
  workers[id] = row
  if not workers_put[id] then
    workers_put[id] = true
    worker_order[#worker_order + 1] = id
  end
end

-- The ids of all workers there are.
local function all_workers()
  local all = call('HGETALL', WORKERS)
  local ids = {}
  for at = 1, #all, 2 do
    ids[#ids + 1] = all[at]
    if workers[all[at]] == nil then
      read_worker(all[at], all[at + 1])
    end
  end
  return ids
end

-- A worker's number, and what else its beat says.
local function number_of(id)
  local beat = call('HGET', BEATS, id)
  local number = beat and tonumber(string.match(beat, '^%d+ (%d+) ')) or 0
  beats_before[id] = beat
  return number
end

-- What a workspace uses as the step has left it; false if nothing.
local function usage_of(workspace)
  local row = usage_after[workspace]
  if row == nil then
    local raw = call('HGET', USAGE, workspace)
    row = raw and (decoded(raw, is_usage) or ILLEGIBLE)
    usage_after[workspace] = row
    usage_before[workspace] = row and row ~= ILLEGIBLE and { row[U.cpu], row[U.memory], row[U.gpu], row[U.containers] }
  end
  return row ~= ILLEGIBLE and row or row == ILLEGIBLE and corrupt('the usage of ' .. workspace)
end

-- What a request asks, as lots keep it.
local function ask_of(row)
  return { row[C.workspace], row[C.cpu], row[C.memory], row[C.ask] }
end

local function standing_of(row)
  return place_in_line(row[C.submitted] - row[C.ahead], row[C.revision], row[C.position])
end

local function touch_lot(key)
  local touched = lots[key]
  if not touched then
    local raw = call('HGET', LOTS, key)
    local before = raw and (decoded(raw, is_lot) or corrupt('lot ' .. key))
    touched = { before = before, joined = {}, joined_count = 0, left = {}, left_count = 0, why = nil }
    lots[key] = touched
  end
  return touched
end

-- All that a worker owned before the step, by the order in which it was told: pairs of revision and container.
local function owned_by(id, after, limit)
  local from = after and '(' .. id .. '\0' .. struct.pack('>I7', after[1]) .. after[2] or '[' .. id .. '\0'
  local members = call('ZRANGEBYLEX', OWNED, from, '(' .. id .. '\1', 'LIMIT', 0, limit or -1)
  local owned = {}
  for at, member in ipairs(members) do
    owned[at] = { (struct.unpack('>I7', member, #id + 2)), string.sub(member, #id + 9) }
  end
  return owned
end

local function adopt(row, place)
  row[W.cpu] = row[W.cpu] + place[P.cpu]
  row[W.memory] = row[W.memory] + place[P.memory]
  row[W.containers] = row[W.containers] + 1
  local milli = row[W.milli]
  for _, device in ipairs(place[P.devices]) do
    for index = #milli + 1, device + 1 do
      milli[index] = 0
    end
    milli[device + 1] = milli[device + 1] + place[P.milli]
  end
end

local function release(id, row, place)
  row[W.cpu] = row[W.cpu] - place[P.cpu]
  row[W.memory] = row[W.memory] - place[P.memory]
  row[W.containers] = row[W.containers] - 1
  local milli = row[W.milli]
  local is_wrong = row[W.cpu] < 0 or row[W.memory] < 0 or row[W.containers] < 0
  for _, device in ipairs(place[P.devices]) do
    milli[device + 1] = (milli[device + 1] or 0) - place[P.milli]
    is_wrong = is_wrong or milli[device + 1] < 0
  end
  while milli[#milli] == 0 do
    milli[#milli] = nil
  end
  if is_wrong then
    corrupt('the ledger: worker ' .. id .. ' gives back more than is in use')
  end
end

-- Whether a worker has room for a booking, and is not over-committed.
local function fits(row, place)
  local milli, devices = row[W.milli], place[P.devices]
  if row[W.cpu] + place[P.cpu] > row[W.total_cpu] or row[W.memory] + place[P.memory] > row[W.total_memory] then
    return false
  end
  for index = 1, #milli do
    if milli[index] > (index <= row[W.total_gpus] and GPU_WHOLE or 0) then
      return false
    end
  end
  local last = -1
  for _, device in ipairs(devices) do
    if device <= last or device >= row[W.total_gpus] or (milli[device + 1] or 0) + place[P.milli] > GPU_WHOLE then
      return false
    end
    last = device
  end
  return true
end

-- What is used once so much more is, or less.
local function used_after(used, more)
  return used + more > 0 and used + more or 0
end

local function change_usage(row, sign)
  local workspace = row[C.workspace]
  local usage = usage_after[workspace] or { VERSION, 0, 0, 0, 0, 0 }
  usage[U.cpu] = used_after(usage[U.cpu], sign * row[C.cpu])
  usage[U.memory] = used_after(usage[U.memory], sign * row[C.memory])
  usage[U.gpu] = used_after(usage[U.gpu], sign * row[C.gpus] * row[C.milli])
  usage[U.containers] = used_after(usage[U.containers], sign)
  usage_after[workspace] = usage
end

local function is_same_room(a, b)
  if a[P.worker] ~= b[P.worker] or a[P.cpu] ~= b[P.cpu] or a[P.memory] ~= b[P.memory] or a[P.milli] ~= b[P.milli]
    or #a[P.devices] ~= #b[P.devices] then
    return false
  end
  for at, device in ipairs(a[P.devices]) do
    if device ~= b[P.devices][at] then
      return false
    end
  end
  return true
end

local function follow_ownership(row, old, new)
  if new and new[P.order] == revision then
    cell[K.ordered] = revision
    ordered_workers[new[P.worker]] = true
  end
  if old and new and is_same_room(old, new) then
    return
  end
  if old then
    cell[K.woken] = revision
    release(old[P.worker], workers[old[P.worker]], old)
    put_worker(old[P.worker], workers[old[P.worker]])
    change_usage(row, -1)
  end
  if new then
    adopt(workers[new[P.worker]], new)
    put_worker(new[P.worker], workers[new[P.worker]])
    change_usage(row, 1)
  end
end

local function follow_lot(row, old, new, why)
  if old == new then
    return
  end
  local key = standing_of(row)
  if old ~= '' then
    local lot = lots[old]
    if lot.joined[key] then
      lot.joined[key] = nil
      lot.joined_count = lot.joined_count - 1
    else
      lot.left[key] = true
      lot.left_count = lot.left_count + 1
    end
  end
  if new ~= '' then
    local lot = lots[new]
    if lot.left[key] then
      lot.left[key] = nil
      lot.left_count = lot.left_count - 1
    else
      lot.joined[key] = { row[C.submitted] - row[C.ahead], row[C.revision], row[C.position], row }
      lot.joined_count = lot.joined_count + 1
    end
    lot.why = why or lot.why
  end
end

local function follow_counts(old_state, old_lot, new_state, new_lot)
  local phases = cell[K.phases]
  if old_state then
    phases[PHASE[old_state]] = phases[PHASE[old_state]] - 1
  end
  if new_state then
    phases[PHASE[new_state]] = phases[PHASE[new_state]] + 1
  end
  local was = old_state == 'pending' and old_lot == ''
  local is = new_state == 'pending' and new_lot == ''
  if is and not was then
    cell[K.ready] = cell[K.ready] + 1
    cell[K.woken] = revision
  elseif was and not is then
    cell[K.ready] = math.max(0, cell[K.ready] - 1)
  end
end

-- Keeps how a container was before the step, as far as the indexes know it.
local function remember(id, row)
  if not containers_put[id] then
    containers_put[id] = container_bytes[id] and { row[C.state], row[C.lot], row[C.place] } or { false }
    container_order[#container_order + 1] = id
  end
end

-- Moves a container to another state, and books all that follows: room and usage, its lot, and the cell's counts.
--
-- `place` is nil for a state that owns no room, `lot` nil for a request that is ready. All that this reads is read first.
local function move(id, row, state, place, lot, cause, why)
  local old, new_lot = row[C.place], lot or ''
  if old or place then
    local _ = old and (worker(old[P.worker]) or corrupt('the owner of container ' .. id))
    _ = place and (worker(place[P.worker]) or corrupt('the owner of container ' .. id))
    usage_of(row[C.workspace])
  end
  if row[C.lot] ~= '' then
    touch_lot(row[C.lot])
  end
  if new_lot ~= '' then
    touch_lot(new_lot)
  end
  remember(id, row)
  follow_ownership(row, old, place)
  follow_lot(row, row[C.lot], new_lot, why)
  follow_counts(row[C.state], row[C.lot], state, new_lot)
  row[C.state], row[C.place], row[C.lot], row[C.cause] = state, place or false, new_lot, cause or ''
end

-- Puts a container back in line, at its old place.
local function back_in_line(id, row)
  move(id, row, 'pending')
end

local function note_gone(name)
  cell[K.gone] = cell[K.gone] + 1
  gone[#gone + 1] = name
end

-- Takes a worker's row away. It must own nothing.
local function remove_worker(id)
  if worker_bytes[id] then
    note_gone('1' .. id)
  end
  numbers[id] = false
  put_worker(id, false)
end

-- Starts a new history after one that is known to have come as far as `reached`. The word for it is made by the caller,
-- who is asked for it if it has not handed one in.
local NEEDS_WORD = {}

local function begin_history(reached)
  if not word or word[1] ~= cell[K.history] or word[2] ~= revision_before then
    error(NEEDS_WORD, 0)
  end
  cell[K.rewind] = { cell[K.history], revision_before, reached }
  cell[K.history], cell[K.settling], cell[K.run] = word[3], true, run
  for _, id in ipairs(all_workers()) do
    local row = legible_worker(id)
    if row then
      row[W.complete] = false
      put_worker(id, row)
    end
  end
end

-- Starts a new history if a caller has seen more of this one than there is; answers whether it did.
local function notice(history, seen)
  if history ~= cell[K.history] or seen <= revision_before then
    return false
  end
  begin_history(seen)
  return true
end

-- Refuses all but the cell's planner in its term and history; moves its stamp.
local function fence(mandate)
  if notice(mandate.history, mandate.revision) or cell[K.history] ~= mandate.history then
    return 'rewound'
  end
  if cell[K.planner] ~= mandate.planner or cell[K.term] ~= mandate.term then
    return 'stale_term'
  end
  cell[K.stamp] = cell[K.stamp] + 1
  return nil
end

-- Whether a container may run on a worker that has not said so in this history.
local function may_run_unseen(row)
  return cell[K.settling] or row[C.keeps] and cell[K.away] > 0
end

-- Whether its worker may have been told of a container: of what was placed in an earlier history, who knows.
local function is_taken(row)
  if row[C.state] == 'placed' then
    return row[C.placed_in] ~= cell[K.history]
  end
  return row[C.place] ~= false
end

-- Writes. Each command gathers what is to be written to one table; they run in the order in which they are first named.
local commands, command_order = { HSET = {}, HDEL = {}, ZADD = {}, ZREM = {}, SET = {} }, {}

local function begin_command(command, table_key)
  local list = { command = command, table_key = table_key, count = 0 }
  commands[command][table_key] = list
  command_order[#command_order + 1] = list
  return list
end

-- Writes by member or field alone.
local function write(command, table_key, member)
  local list = commands[command][table_key] or begin_command(command, table_key)
  local count = list.count + 1
  list[count], list.count = member, count
end

-- Writes a pair: field and value, or score and member.
local function write_pair(command, table_key, first, second)
  local list = commands[command][table_key] or begin_command(command, table_key)
  local count = list.count
  list[count + 1], list[count + 2], list.count = first, second, count + 2
end

-- Whether a step may write to a table without having read from it, which would have failed if it were of another type.
local function is_unread(list)
  local writes_rows = list.command == 'HSET' or list.command == 'SET'
  return not writes_rows or list.table_key == BODIES or list.table_key == OUTPUTS
end

local function run_commands()
  for _, list in ipairs(command_order) do
    if is_unread(list) then
      check_type(list.table_key)
    end
  end
  if not asked.needs_memory then
    -- A first write that frees lets all later ones pass, also while the server's memory is full.
    call('HDEL', BODIES, '')
  end
  for _, list in ipairs(command_order) do
    for from = 1, list.count, ARGUMENTS_MAX do
      call(list.command, list.table_key, unpack(list, from, math.min(from + ARGUMENTS_MAX - 1, list.count)))
    end
  end
end

-- Where a request waits: the table, and the member.
local function waits_at(id, row, lot)
  local standing = standing_of(row) .. id
  if lot == '' then
    return READY, standing
  end
  return PARKED, lot_prefix(lot) .. standing
end

local function owns_at(id, place)
  return place[P.worker] .. '\0' .. struct.pack('>I7', place[P.order]) .. id
end

local function follow_line(id, row, old_lot, new_lot)
  if old_lot == new_lot then
    return
  end
  if old_lot then
    write('ZREM', waits_at(id, row, old_lot))
  end
  if new_lot then
    local waits_in, waiting = waits_at(id, row, new_lot)
    write_pair('ZADD', waits_in, '0', waiting)
  end
end

local function follow_owner(id, old, new)
  if old == new or old and new and old[P.worker] == new[P.worker] and old[P.order] == new[P.order] then
    return
  end
  if old then
    write('ZREM', OWNED, owns_at(id, old))
  end
  if new then
    write_pair('ZADD', OWNED, '0', owns_at(id, new))
  end
end

local function write_container(id, before)
  local row = containers[id]
  if before[1] == row[C.state] and before[2] == row[C.lot] and packed_container(row) == container_bytes[id] then
    return
  end
  row[C.changed] = revision
  follow_line(id, row, before[1] == 'pending' and before[2], row[C.state] == 'pending' and row[C.lot])
  follow_owner(id, before[3] or false, row[C.place])
  local was, is = before[1] and LETTER[before[1]], LETTER[row[C.state]]
  if was ~= is then
    if was then
      write('ZREM', PHASES, was .. id)
    else
      write_pair('ZADD', WORKSPACES, '0', row[C.workspace] .. '\0' .. id)
    end
    write_pair('ZADD', PHASES, '0', is .. id)
    if row[C.over] and (is == 's' or is == 'f' or is == 'x') then
      write_pair('ZADD', ENDED, row[C.over][E.at], id)
    end
  end
  write_pair('ZADD', CHANGES, score, id)
  container_written[id] = packed_container(row)
  write_pair('HSET', CONTAINERS, id, container_written[id])
end

local function write_forgotten(id, row)
  write('HDEL', CONTAINERS, id)
  write('HDEL', BODIES, id)
  write('HDEL', OUTPUTS, id)
  write('ZREM', PHASES, LETTER[row[C.state]] .. id)
  write('ZREM', WORKSPACES, row[C.workspace] .. '\0' .. id)
  write('ZREM', ENDED, id)
  write('ZREM', CHANGES, id)
end

-- The first of those who were in a lot before the step and still are, and what it asks; false if nobody is.
local function first_who_stayed(key, touched)
  local before = touched.before
  if not before then
    return false
  end
  if not touched.left[place_in_line(before[L.rank], before[L.revision], before[L.position])] then
    return { before[L.rank], before[L.revision], before[L.position], before[L.ask] }
  end
  for _, member in ipairs(read_parked(key, nil, touched.left_count + 1)) do
    local rank, submitted_in, position, id = read_place(member, 1 + LOT_BYTES)
    if not touched.left[place_in_line(rank, submitted_in, position)] then
      -- All in the lot of a shape ask the same; in another lot the next may ask something else.
      local ask = false
      if key == KEEP or key == STOP or string.sub(key, 1, 6) == 'quota:' then
        local row = legible(id)
        ask = row and ask_of(row)
      end
      return { rank, submitted_in, position, ask }
    end
  end
  return false
end

local function is_first(a, b)
  for at = 1, 3 do
    if a[at] ~= b[at] then
      return a[at] < b[at]
    end
  end
  return false
end

local function write_lot(key, touched)
  if touched.joined_count == 0 and touched.left_count == 0 then
    return
  end
  local before = touched.before
  local count = (before and before[L.count] or 0) + touched.joined_count - touched.left_count
  local first = first_who_stayed(key, touched)
  local ask, earliest = first and first[4], false
  for _, joined in pairs(touched.joined) do
    if not first or is_first(joined, first) then
      first, earliest = joined, joined[4]
    end
  end
  if not first or count <= 0 then
    if before then
      write('HDEL', LOTS, key)
      write('ZREM', FLEET, 'c2' .. key)
      note_gone('2' .. key)
    end
    return
  end
  ask = earliest and ask_of(earliest) or ask or before and before[L.ask] or false
  local why = touched.why or before and before[L.why] or NO_WORKERS
  write_pair('HSET', LOTS, key, pack({ VERSION, count, first[1], first[2], first[3], ask, why, revision }))
  write_pair('ZADD', FLEET, score, 'c2' .. key)
end

local function write_worker(id)
  local row, before = workers[id], workers_before[id]
  -- Counts the workers that have not registered in this history; when the last has, what waited for it may go on.
  local was = before and before[B.is_missing] and 1 or 0
  local is = row and row[W.registered] ~= cell[K.history] and 1 or 0
  cell[K.away] = math.max(0, cell[K.away] + is - was)
  if was > is and cell[K.away] == 0 then
    cell[K.woken] = revision
  end
  if not row then
    if worker_bytes[id] then
      write('HDEL', WORKERS, id)
      write('ZREM', FLEET, 'c1' .. id)
    end
    return
  end
  if before and before[B.containers] == row[W.containers] and pack(row) == worker_bytes[id] then
    return
  end
  if status_of(row) == 'available' and not (before and before[B.is_open]
    and before[B.incarnation] == row[W.incarnation] and before[B.spec] == row[W.spec]) then
    cell[K.woken] = revision
  end
  row[W.changed] = revision
  write_pair('HSET', WORKERS, id, pack(row))
  write_pair('ZADD', FLEET, score, 'c1' .. id)
end

-- A worker's beat says what `beats` reads of it: its incarnation, its number, and whether it is up.
local function write_beat(id)
  local row, before, number = workers[id], workers_before[id], numbers[id]
  if not row then
    if number == false then
      write('HDEL', BEATS, id)
    end
  elseif number or not before or before[B.life] ~= row[W.life] or before[B.incarnation] ~= row[W.incarnation] then
    local was = number_of(id)
    local beat = string.format('%.0f %.0f %s', row[W.incarnation], number or was, row[W.life])
    if beat ~= beats_before[id] then
      write_pair('HSET', BEATS, id, beat)
    end
  end
end

local function write_usage(workspace, row)
  if row == ILLEGIBLE then
    return
  end
  local before = usage_before[workspace]
  local is_zero = not row or row[U.cpu] == 0 and row[U.memory] == 0 and row[U.gpu] == 0 and row[U.containers] == 0
  if is_zero then
    if before then
      write('HDEL', USAGE, workspace)
      write('ZREM', FLEET, 'c3' .. workspace)
      note_gone('3' .. workspace)
    end
    return
  end
  if before and before[1] == row[U.cpu] and before[2] == row[U.memory] and before[3] == row[U.gpu]
    and before[4] == row[U.containers] then
    return
  end
  row[U.changed] = revision
  write_pair('HSET', USAGE, workspace, pack(row))
  write_pair('ZADD', FLEET, score, 'c3' .. workspace)
end

-- Writes all that the step has decided; answers how far the cell is with it.
local function finish()
  for key, touched in pairs(lots) do
    write_lot(key, touched)
  end
  for _, id in ipairs(container_order) do
    write_container(id, containers_put[id])
  end
  for _, id in ipairs(worker_order) do
    write_worker(id)
  end
  for workspace, row in pairs(usage_after) do
    write_usage(workspace, row)
  end
  for id, body in pairs(new_bodies) do
    write_pair('HSET', BODIES, id, body)
  end
  for id, output in pairs(new_outputs) do
    write_pair('HSET', OUTPUTS, id, output)
  end
  for id, row in pairs(forgotten) do
    write_forgotten(id, row)
  end
  for _, parked in ipairs(parked_corrupt) do
    write('ZREM', READY, parked)
    write_pair('ZADD', PARKED, '0', lot_prefix(CORRUPT) .. parked)
  end
  for _, name in ipairs(gone) do
    write_pair('ZADD', FLEET, score, string.format('g%s\0%.0f', name, revision))
  end
  for _, member in ipairs(gone_forgotten) do
    write('ZREM', FLEET, member)
  end
  local is_durable = #command_order > 0
  for _, id in ipairs(worker_order) do
    write_beat(id)
  end
  for id in pairs(numbers) do
    if not workers_put[id] then
      write_beat(id)
    end
  end
  cell[K.revision], cell[K.now] = revision_before, now_before
  is_durable = is_durable or pack(cell) ~= cell_before
  if is_durable then
    cell[K.revision], cell[K.now] = revision, now
    write('SET', CELL, pack(cell))
  end
  if #command_order > 0 then
    run_commands()
  end
  local has_news = cell[K.woken] == revision or cell[K.ordered] == revision or cell[K.history] ~= history_before
  if is_durable and has_news then
    local concerned = {}
    for id in pairs(ordered_workers) do
      concerned[#concerned + 1] = id
    end
    call('PUBLISH', string.sub(CELL, 1, -5) .. 'events', pack({
      { cell[K.history], revision, cell[K.woken], cell[K.ordered] }, concerned,
    }))
  end
  return { cell[K.history], cell[K.revision] }
end

-- Runs the step, and answers what it answers.
local function answer(step)
  local is_done, answered = pcall(step)
  if is_done then
    return pack({ done = answered })
  end
  if answered == NEEDS_WORD then
    return pack({ rewind = { history_before, revision_before, run, false } })
  end
  error(answered, 0)
end
