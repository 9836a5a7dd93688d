-- Gives up workers, ends drains and settlings, at most so many containers each.

-- Tells what still runs on a draining worker to stop, and gives back what it was not yet told of.
local function order_drain(id, row)
  if not row[W.due] then
    row[W.due] = true
    put_worker(id, row)
  end
  give_back_placed(id)
  local moved = 0
  for _, mark in ipairs(owned_by(id)) do
    local owned = legible(mark[2])
    local state = owned and owned[C.state]
    if state == 'placed' or state == 'starting' or state == 'running' then
      if moved == asked.limit then
        return { 'more', moved }
      end
      moved = moved + 1
      local place = { unpack(owned[C.place]) }
      place[P.order] = revision
      move(mark[2], owned, 'stopping', place, nil, 'drain')
    end
  end
  return { 'done', moved }
end

local function is_witnessed(witness)
  local rewind = cell[K.rewind]
  -- Of a history that is known to have come further, something was lost before the witness looked.
  return rewind and rewind[3] <= rewind[2] and witness[1] == rewind[1] and witness[2] <= rewind[2]
end

-- Whether all workers that are up have registered in this history.
local function all_have_registered()
  for _, id in ipairs(all_workers()) do
    local row = legible_worker(id)
    if row and row[W.life] == 'up' and not row[W.complete] then
      return false
    end
  end
  return true
end

-- Ends those whom somebody wanted stopped while they may have run where nobody knew.
local function end_stopped()
  local moved, after = 0, nil
  while true do
    local page = read_parked(STOP, after, ITEMS_MAX)
    for _, member in ipairs(page) do
      after = string.sub(member, 1 + LOT_BYTES, LOT_BYTES + PLACE_BYTES)
      local id = string.sub(member, 1 + LOT_BYTES + PLACE_BYTES)
      local row = legible(id)
      if row and not may_run_unseen(row) then
        if moved == asked.limit then
          return { 'more', moved }
        end
        moved = moved + 1
        conclude(id, row, found_end(NEVER_STARTED))
      end
    end
    if #page < ITEMS_MAX then
      return { 'done', moved }
    end
  end
end

local function settle(witness)
  if cell[K.settling] then
    local is_over
    if witness then
      is_over = is_witnessed(witness)
    else
      is_over = all_have_registered()
    end
    if not is_over then
      return { 'refused', 0 }
    end
    cell[K.settling] = false
    cell[K.woken] = revision
  end
  return end_stopped()
end

local function lose(loss)
  if loss.kind == 'settled' then
    return settle(loss.witness)
  end
  local id = loss.worker
  local row = legible_worker(id)
  if row and loss.kind == 'silent' then
    local is_same = row[W.incarnation] == loss.incarnation and loss.boot == boot and loss.number == number_of(id)
    if is_same and row[W.life] ~= 'pending' then
      row[W.life], row[W.boot] = 'lost', false
      put_worker(id, row)
      return give_back_all(id, asked.limit, false)
    end
  elseif row and loss.kind == 'rest' and row[W.life] == 'lost' then
    return give_back_all(id, asked.limit, false)
  elseif row and loss.kind == 'drain_due' and row[W.closed] == 'draining' then
    return order_drain(id, row)
  end
  return { 'refused', 0 }
end

return answer(function()
  local refusal, outcomes = fence(asked.mandate), {}
  if not refusal then
    for at, loss in ipairs(asked.losses) do
      outcomes[at] = lose(loss)
    end
  end
  finish()
  return { refusal = refusal or 'none', outcomes = outcomes }
end)
