-- Takes requests in. A repeat changes nothing.
return answer(function()
  local outcomes = {}
  read_ahead(CONTAINERS, ids_of(asked.items), containers, read_container)
  for at, item in ipairs(asked.items) do
    local row = container(item.id)
    if not row then
      containers[item.id] = {
        VERSION, 'pending', '', false, '', 0, -1, 0, -1, -1, -1, revision, false, item.workspace, item.cpu, item.memory,
        item.gpus, item.milli, item.keeps, item.ahead, revision, item.position, now, item.digest, item.ask,
      }
      new_bodies[item.id] = item.body
      remember(item.id)
      follow_counts(nil, nil, 'pending', '')
      outcomes[at] = 'accepted'
    elseif row ~= ILLEGIBLE and row[C.digest] == item.digest then
      outcomes[at] = row[C.state]
    else
      -- Of one that cannot be decoded nobody can tell whether it is the same: the id is taken.
      outcomes[at] = 'conflict'
    end
  end
  finish()
  return outcomes
end)
