-- Hands a worker its orders after a mark, and moves what is handed over from placed to starting.

local BODIES_BYTES_MAX = 8388608

-- A body as it is kept: its size, a space, and what ports::wire writes.
local function size_of(body)
  return body and tonumber(string.match(body, '^%d+')) or 0
end

-- An order about a container, and the size of its body; nothing if there is none.
local function hand_over(id, row)
  local state = row[C.state]
  if state == 'stopping' then
    return { id, pack(row) }, 0
  elseif state ~= 'placed' and state ~= 'starting' and state ~= 'running' then
    return nil, 0
  end
  local body = call('HGET', BODIES, id)
  if state == 'placed' then
    move(id, row, 'starting', row[C.place])
    row[C.taken_at] = now
  end
  return { id, pack(row), body or '' }, size_of(body)
end

return answer(function()
  local orders, upto, bytes = {}, asked.after, 0
  local said, row = admit_numbered(asked.caller)
  if said == 'ok' and row[W.complete] then
    for _, mark in ipairs(owned_by(asked.caller.worker, asked.after, asked.limit)) do
      if bytes >= BODIES_BYTES_MAX then
        break
      end
      local owned = legible(mark[2])
      if owned then
        local order, size = hand_over(mark[2], owned)
        bytes = bytes + size
        orders[#orders + 1] = order
      end
      upto = mark
    end
  end
  local mark = finish()
  if said ~= 'ok' then
    mark = { history_before, revision_before }
  end
  return { call = said, orders = orders, upto = upto or false, mark = mark }
end)
