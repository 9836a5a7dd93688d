-- Stops containers. What waits, or was not yet handed over, is stopped at once.

-- Writes down that somebody wants a container stopped which may run where nobody knows.
local function stop_later(id, row)
  if row[C.lot] ~= STOP then
    move(id, row, 'pending', nil, STOP, nil, string.format('1{"settling":{"unregistered":%.0f}}', cell[K.away]))
  end
  return 'stopping'
end

local function stop(id)
  local row = container(id)
  if not row then
    return 'no_such_container'
  elseif row == ILLEGIBLE then
    corrupt('container ' .. id)
  end
  local state, place = row[C.state], row[C.place]
  if state == 'pending' and (row[C.lot] == STOP or may_run_unseen(row)) then
    return stop_later(id, row)
  elseif state == 'pending' or state == 'placed' and not is_taken(row) then
    move(id, row, 'stopped')
    row[C.over] = { NEVER_STARTED, '', false, row[C.attempt], place and place[P.worker], now }
    return 'stopped'
  elseif state == 'stopping' and row[C.cause] == 'stop' then
    return 'stopping'
  elseif place then
    local ordered = { unpack(place) }
    ordered[P.order] = revision
    move(id, row, 'stopping', ordered, nil, 'stop')
    return 'stopping'
  end
  return { ended = state }
end

return answer(function()
  local outcomes = {}
  read_ahead(CONTAINERS, asked.ids, containers, read_container)
  for at, id in ipairs(asked.ids) do
    outcomes[at] = stop(id)
  end
  finish()
  return outcomes
end)
