-- Writes down what workers report. Reports may skip states forward; a repeat changes nothing.

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

local function accept_all(worker_id, reports)
  local outcomes = {}
  read_ahead(CONTAINERS, ids_of(reports), containers, read_container)
  for at, told in ipairs(reports) do
    outcomes[at] = told.over and accept_end(worker_id, told) or accept_running(worker_id, told)
  end
  return outcomes
end

return answer(function()
  notice_all(asked.calls)
  local answers = {}
  for at, told in ipairs(asked.calls) do
    local said = admit_numbered(told.caller)
    answers[at] = { call = said, outcomes = said == 'ok' and accept_all(told.caller.worker, told.reports) or {} }
  end
  finish_calls(answers)
  return answers
end)
