-- Registers a worker with what it holds and what ended.

local id = asked.worker

-- How much of what an earlier history handed out is not known any more.
local function count_unknown()
  local unknown = 0
  local function count(told)
    if told.history ~= cell[K.history] and container(told.id) == false then
      unknown = unknown + 1
    end
  end
  for _, held in ipairs(asked.holds) do
    count(held)
  end
  for _, ended in ipairs(asked.ends) do
    count(ended)
  end
  return unknown
end

-- How many containers a worker owns that it may have been told of; what cannot be decoded is among them.
local function count_taken()
  local taken = 0
  for _, mark in ipairs(owned_by(id)) do
    local row = legible(mark[2])
    if not row or is_taken(row) then
      taken = taken + 1
    end
  end
  return taken
end

-- Why a registration is refused; nil if it is not.
local function refuse(row)
  if not row or not row[W.key] then
    return nil
  elseif row[W.key] == asked.key then
    return row[W.incarnation] > asked.incarnation and 'replaced' or nil
  end
  local taken = count_taken()
  if taken > 0 then
    return { key_taken = taken }
  end
  return asked.incarnation <= row[W.incarnation] and { raise = row[W.incarnation] } or nil
end

-- The row of what the worker says it holds, if it owns exactly this placement.
local function held_row(held)
  local row = newest(held)
  return row and row[C.place] and row[C.place][P.worker] == id and row
end

local function kills_of()
  local kills = {}
  for at, held in ipairs(asked.holds) do
    if not held_row(held) then
      kills[#kills + 1] = at
    end
  end
  return kills
end

-- Writes the worker's row for this incarnation; not complete before the last page.
local function enter(row)
  local is_first_page = not row or row[W.incarnation] ~= asked.incarnation
  if is_first_page then
    numbers[id] = 0
  end
  -- A page of this registration was answered kills: no later page makes up for it.
  local is_spoilt = not is_first_page and row[W.registered] == -1
  local still_boots = row and row[W.life] == 'pending' and not asked.ready
  row = row or { VERSION, 'up', false, 'no', false, false, false, 0, 0, false, false, 0, 0, 0, {}, 0, 0, 0, revision, '' }
  row[W.life], row[W.boot] = still_boots and 'pending' or 'up', still_boots and row[W.boot]
  row[W.key], row[W.incarnation], row[W.spec] = asked.key, asked.incarnation, asked.spec
  row[W.registered] = is_spoilt and -1 or cell[K.history]
  row[W.complete], row[W.ready] = false, asked.ready
  row[W.total_cpu], row[W.total_memory], row[W.total_gpus] = asked.cpu, asked.memory, asked.gpus
  put_worker(id, row)
end

-- Whether a placement of the container can own exactly this; memory may be more, by an overhead.
local function is_booked_by(row, booking)
  local last = -1
  for _, device in ipairs(booking[P.devices]) do
    if device <= last then
      return false
    end
    last = device
  end
  return booking[P.cpu] == row[C.cpu] and booking[P.memory] >= row[C.memory] and #booking[P.devices] == row[C.gpus]
    and booking[P.milli] == row[C.milli]
end

-- Gives the worker what it holds of a part that was lost, whoever owned an earlier attempt, and whether or not there is
-- room.
local function adopt_held(held, row, booking)
  local is_told_to_stop = row[C.state] == 'stopping' or row[C.lot] == STOP
  local cause = row[C.state] == 'stopping' and row[C.cause] or 'stop'
  move(held.id, row, is_told_to_stop and 'stopping' or 'starting', booking, nil, is_told_to_stop and cause or nil)
  row[C.attempt], row[C.placed_in] = held.attempt, held.history
end

-- Marks what the worker rightly holds with its incarnation; answers what it may not.
local function claim()
  local kills = {}
  for at, held in ipairs(asked.holds) do
    local row = held_row(held)
    local booking = { id, asked.incarnation, revision, held.cpu, held.memory, held.milli, held.devices }
    if row then
      local place = { unpack(row[C.place]) }
      place[P.incarnation] = asked.incarnation
      local state = (row[C.state] == 'running' or row[C.state] == 'stopping') and row[C.state] or 'starting'
      move(held.id, row, state, place, nil, row[C.cause])
    else
      row = lost_attempt(held)
      if row and is_booked_by(row, booking) then
        adopt_held(held, row, booking)
      else
        kills[#kills + 1] = at
      end
    end
  end
  return kills
end

-- Takes back what the worker owns and neither holds nor ended, and completes the registration if nothing is to kill.
local function conclude_registration(is_clean)
  for _, mark in ipairs(owned_by(id)) do
    local row = legible(mark[2])
    local place = row and row[C.place]
    if place and place[P.worker] == id and place[P.incarnation] ~= asked.incarnation then
      if is_taken(row) then
        conclude(mark[2], row, found_end(WORKER_FORGOT), id)
      else
        back_in_line(mark[2], row)
      end
    end
  end
  local row = worker(id)
  if row and is_clean and row[W.registered] ~= -1 then
    row[W.complete] = true
    put_worker(id, row)
  end
end

return answer(function()
  local row = worker(id)
  local refusal = refuse(row)
  if refusal then
    return refusal
  end
  local unknown = count_unknown()
  if row and row[W.key] == asked.key and row[W.incarnation] == asked.incarnation and row[W.registered] == cell[K.history]
    and row[W.complete] then
    -- This registration, or a page of it, comes again after the last page has said all.
    return { registered = { cell[K.history], revision_before, kills_of(), unknown } }
  end
  if row and row[W.key] ~= asked.key then
    -- Nothing of the old machine's is left but what it was never told of.
    give_back_placed(id)
  end
  enter(row)
  local kills = claim()
  for _, ended in ipairs(asked.ends) do
    accept_end(id, ended)
  end
  if not asked.more then
    conclude_registration(#kills == 0)
  elseif #kills > 0 then
    worker(id)[W.registered] = -1
  end
  local mark = finish()
  return { registered = { mark[1], mark[2], kills, unknown } }
end)
