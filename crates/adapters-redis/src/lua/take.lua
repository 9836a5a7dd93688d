-- Hands workers their orders after a mark, and moves what is handed over from placed to starting.

local BODIES_BYTES_MAX = 8388608
local ORDERS_MAX = 500 -- what more calls have no place in this step for

local bytes, count = 0, 0

-- A body as it is kept: its size, a space, and what ports::wire writes.
local function size_of(body)
  return tonumber(string.match(body, '^%d+')) or 0
end

-- The body that goes with an order about a container, '' if it needs none; nil if there is no order.
local function hand_over(id, row)
  local state = row[C.state]
  if state == 'stopping' then
    return ''
  elseif state ~= 'placed' and state ~= 'starting' and state ~= 'running' then
    return nil
  end
  if state == 'placed' then
    move(id, row, 'starting', row[C.place])
    row[C.taken_at] = now
  end
  return call('HGET', BODIES, id) or ''
end

-- Orders after a mark: container, a place for its row, and body; and the last mark that was looked at.
local function hand_out(worker_id, after, limit)
  local marks = owned_by(worker_id, after, limit)
  local orders, upto = {}, after
  local ids = {}
  for at, mark in ipairs(marks) do
    ids[at] = mark[2]
  end
  read_ahead(CONTAINERS, ids, containers, read_container)
  for _, mark in ipairs(marks) do
    if bytes >= BODIES_BYTES_MAX then
      break
    end
    local row = legible(mark[2])
    local body = row and hand_over(mark[2], row)
    if body then
      bytes, count = bytes + size_of(body), count + 1
      orders[#orders + 1] = { mark[2], '', body }
    end
    upto = mark
  end
  return orders, upto
end

return answer(function()
  notice_all(asked.calls)
  local answers = {}
  for at, take in ipairs(asked.calls) do
    if bytes >= BODIES_BYTES_MAX or count >= ORDERS_MAX then
      break
    end
    local orders, upto = {}, take.after
    local said, row = admit_numbered(take.caller)
    if said == 'ok' and row[W.complete] then
      orders, upto = hand_out(take.caller.worker, take.after, take.limit)
    end
    answers[at] = { call = said, orders = orders, upto = upto or false }
  end
  finish_calls(answers)
  for _, answered in ipairs(answers) do
    for _, order in ipairs(answered.orders) do
      order[2] = container_written[order[1]] or container_bytes[order[1]]
    end
  end
  return answers
end)
