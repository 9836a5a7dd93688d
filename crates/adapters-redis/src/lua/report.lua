-- Writes down what a worker reports. Reports may skip states forward; a repeat changes nothing.

local function accept_running(worker_id, told)
  local row = newest(told)
  local place = row and row[C.place]
  if not place or place[P.worker] ~= worker_id then
    return 'kill'
  end
  if row[C.state] == 'placed' or row[C.state] == 'starting' then
    move(told.id, row, 'running', place)
    row[C.running_at] = now
    if row[C.taken_at] == -1 then
      row[C.taken_at] = now
    end
  end
  return 'accepted'
end

return answer(function()
  local outcomes = {}
  local said = admit_numbered(asked.caller)
  if said == 'ok' then
    read_ahead(CONTAINERS, ids_of(asked.reports), containers, read_container)
    for at, told in ipairs(asked.reports) do
      outcomes[at] = told.over and accept_end(asked.caller.worker, told) or accept_running(asked.caller.worker, told)
    end
  end
  local mark = finish()
  if said ~= 'ok' then
    mark = { history_before, revision_before }
  end
  return { call = said, outcomes = outcomes, mark = mark }
end)
