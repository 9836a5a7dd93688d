-- Forgets ended containers beyond what is kept, and removals that no reader needs any more.

local REMOVALS_MAX = 10000

-- Forgets the oldest removals beyond REMOVALS_MAX. They stand among rows that changed; those before the floor are
-- forgotten, some at the floor may be left.
local function forget_removals()
  local excess = cell[K.gone] - REMOVALS_MAX
  local from, page = cell[K.floor], 0
  while excess > 0 and cell[K.floor] == from do
    local changes = call('ZRANGE', FLEET, from, '+inf', 'BYSCORE', 'LIMIT', page, ITEMS_MAX, 'WITHSCORES')
    for at = 1, #changes, 2 do
      if excess == 0 then
        break
      end
      cell[K.floor] = tonumber(changes[at + 1])
      if string.sub(changes[at], 1, 1) == 'g' then
        excess = excess - 1
        cell[K.gone] = cell[K.gone] - 1
        gone_forgotten[#gone_forgotten + 1] = changes[at]
      end
    end
    if #changes < 2 * ITEMS_MAX then
      break
    end
    page = page + ITEMS_MAX
  end
end

return answer(function()
  local phases = cell[K.phases]
  local ended = phases[PHASE.succeeded] + phases[PHASE.failed] + phases[PHASE.stopped]
  local excess = math.max(0, ended - asked.ended_max)
  local oldest = call('ZRANGE', ENDED, 0, asked.limit - 1, 'WITHSCORES')
  local due, count = 0, 0
  for at = 1, #oldest, 2 do
    local id, ended_at = oldest[at], tonumber(oldest[at + 1])
    -- `within` is in milliseconds, and not whole where a part of one was asked for.
    if excess <= 0 and math.max(0, now - ended_at) <= asked.within then
      break
    end
    excess = excess - 1
    due = due + 1
    local row = legible(id)
    if row then
      count = count + 1
      follow_counts(row[C.state], row[C.lot])
      forgotten[id] = row
    end
  end
  forget_removals()
  finish()
  -- What cannot be decoded stays first; a page of nothing else is the end.
  return { count, #oldest == 2 * asked.limit and due == asked.limit and count > 0 }
end)
