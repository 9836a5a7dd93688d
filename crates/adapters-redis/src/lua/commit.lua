-- Every decision of a batch in one step, one outcome each; a refusal hurts no other.

local limits = {}
for _, limit in ipairs(asked.limits) do
  limits[limit[1]] = limit
end

-- Whether so much more is beyond a limit.
local function passes(at_most, used, need)
  return at_most >= 0 and need > 0 and used + need > at_most
end

local NOTHING_USED = { VERSION, 0, 0, 0, 0 }

-- The first limit that one more container would pass: one that it can never fit, if there is such; nil if there is none.
local function obstacle(row, limit)
  local usage = usage_of(row[C.workspace]) or NOTHING_USED
  local cpu, memory, gpu = row[C.cpu], row[C.memory], row[C.gpus] * row[C.milli]
  if not (passes(limit[2], usage[U.cpu], cpu) or passes(limit[3], usage[U.memory], memory)
    or passes(limit[4], usage[U.gpu], gpu) or passes(limit[5], usage[U.containers], 1)) then
    return nil
  end
  local first
  for at, need in ipairs({ cpu, memory, gpu, 1 }) do
    local at_most, used = limit[at + 1], usage[at + 1]
    if passes(at_most, used, need) then
      local over = { over_quota = { at, at_most, used, need } }
      if need > at_most then
        return over
      end
      first = first or over
    end
  end
  return first
end

local function no_room(row)
  local gpus = {}
  for index = 1, row[W.total_gpus] do
    gpus[index] = math.max(0, GPU_WHOLE - (row[W.milli][index] or 0))
  end
  local free = { math.max(0, row[W.total_cpu] - row[W.cpu]), math.max(0, row[W.total_memory] - row[W.memory]), gpus }
  return { no_room = free }
end

local function place(id, row, decision)
  local worker_id, incarnation = decision[4], decision[5]
  if may_run_unseen(row) then
    return 'settling'
  end
  local target = legible_worker(worker_id)
  if not target or target[W.incarnation] ~= incarnation or target[W.life] == 'lost' then
    return 'worker_gone'
  elseif status_of(target) ~= 'available' then
    return 'worker_closed'
  end
  local limit = limits[row[C.workspace]]
  local over = limit and obstacle(row, limit)
  if over then
    return over
  end
  local placed = { worker_id, incarnation, revision, decision[6], decision[7], decision[8], decision[9] }
  if not fits(target, placed) then
    return no_room(target)
  end
  move(id, row, 'placed', placed)
  row[C.attempt], row[C.placed_in] = row[C.attempt] + 1, cell[K.history]
  row[C.placed_at], row[C.taken_at], row[C.running_at] = now, -1, -1
  return 'done'
end

-- Takes a request whose row cannot be decoded out of line; the caller has tried, and knows more of rows than this script.
local function park_corrupt(id, decision)
  if not container(id) then
    return 'not_pending'
  end
  local member = place_in_line(decision[4], decision[5], decision[6]) .. id
  if not decision[8] and legible(id) then
    return 'not_pending'
  elseif not call('ZSCORE', READY, member) then
    return 'already_done'
  end
  local lot = touch_lot(CORRUPT)
  if lot.joined[member] then
    return 'already_done'
  end
  lot.joined[member] = { decision[4], decision[5], decision[6], false }
  lot.joined_count = lot.joined_count + 1
  lot.why = decision[7]
  cell[K.ready] = math.max(0, cell[K.ready] - 1)
  parked_corrupt[#parked_corrupt + 1] = member
  return 'done'
end

local function decide(decision)
  local id, attempt, kind = decision[1], decision[2], decision[3]
  if kind == 'corrupt' then
    return park_corrupt(id, decision)
  end
  local row = legible(id)
  if not row then
    return 'not_pending'
  elseif kind == 'place' and row[C.attempt] == attempt + 1 then
    -- Whoever decides anew after a lost answer may have chosen another worker.
    local is_elsewhere = row[C.place] and row[C.place][P.worker] ~= decision[4]
    return is_elsewhere and 'not_pending' or 'already_done'
  elseif kind == 'park' and row[C.lot] == decision[4] then
    return 'already_done'
  elseif row[C.attempt] ~= attempt or row[C.state] ~= 'pending' or row[C.lot] == STOP then
    return 'not_pending'
  elseif kind == 'park' then
    move(id, row, 'pending', nil, decision[4], nil, decision[5])
    return 'done'
  end
  return place(id, row, decision)
end

local function announce(new)
  if worker(new.id) then
    return
  end
  numbers[new.id] = 0
  put_worker(new.id, {
    VERSION, 'pending', new.boot_within, 'no', false, false, false, 0, cell[K.history], false, false, 0, 0, 0, {}, new.cpu,
    new.memory, new.gpus, revision, new.spec,
  })
end

local function remove_if_empty(id)
  local row = worker(id)
  if row and row[W.containers] > 0 then
    return row[W.containers]
  elseif row then
    remove_worker(id)
  end
  return 0
end

return answer(function()
  local refusal = fence(asked.mandate)
  local outcomes, removals = {}, {}
  if not refusal then
    local ids, targets, is_named = {}, {}, {}
    for at, decision in ipairs(asked.decisions) do
      ids[at] = decision[1]
      if decision[3] == 'place' and not is_named[decision[4]] then
        is_named[decision[4]] = true
        targets[#targets + 1] = decision[4]
      end
    end
    read_ahead(CONTAINERS, ids, containers, read_container)
    read_ahead(WORKERS, targets, workers, read_worker)
    for at, decision in ipairs(asked.decisions) do
      local is_decided, outcome = pcall(decide, decision)
      if not is_decided and not string.find(tostring(outcome), 'CORRUPT', 1, true) then
        error(outcome, 0)
      end
      -- A row that cannot be decoded stands in its way, and in nobody else's.
      outcomes[at] = is_decided and outcome or 'not_pending'
    end
    for _, new in ipairs(asked.workers) do
      announce(new)
    end
    for at, id in ipairs(asked.removals) do
      removals[at] = remove_if_empty(id)
    end
  end
  finish()
  return {
    refusal = refusal or 'none', outcomes = outcomes, removals = removals, before = revision_before, after = revision,
  }
end)
