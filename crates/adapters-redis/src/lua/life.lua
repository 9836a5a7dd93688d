-- What becomes of a container whose attempt is over, and of what a worker owned.

-- Ends that a store finds by itself, as ports::wire writes them.
local WORKER_LOST, WORKER_FORGOT, NEVER_STARTED = '1"worker_lost"', '1"worker_forgot"', '1"never_started"'
local FAILURES_MAX = 5

-- An end by the store: of this kind, and whether it counts as a failure.
local function found_end(blob)
  return { what = blob, forever = '', is_failure = blob == WORKER_LOST }
end

-- Ends a container's newest attempt. What ended by itself stays so; else it was stopped, is given up, or waits again.
local function conclude(id, row, over, worker_id)
  local is_stopped = row[C.state] == 'stopping' and row[C.cause] == 'stop' or row[C.lot] == STOP
  local is_known_to_run = row[C.state] == 'running' and row[C.placed_in] == cell[K.history]
  local has_failed = over.is_failure or over.what == WORKER_FORGOT and is_known_to_run
  local failures = row[C.failures] + (has_failed and not is_stopped and 1 or 0)
  local state = 'pending'
  if over.forever ~= '' then
    state = over.forever
  elseif is_stopped then
    state = 'stopped'
  elseif failures >= FAILURES_MAX then
    state = 'failed'
  end
  move(id, row, state)
  row[C.failures] = failures
  row[C.over] = { over.what, over.forever, over.is_failure, row[C.attempt], worker_id or false, now }
end

-- The container, if this is about its newest placement; false if it is not.
local function newest(told)
  local row = legible(told.id)
  return row and row[C.placed_in] == told.history and row[C.attempt] == told.attempt and row
end

-- The container of an attempt that only a lost part of this cell knew; false if it is none.
local function lost_attempt(told)
  local row = legible(told.id)
  local state = row and row[C.state]
  local is_ended = state == 'succeeded' or state == 'failed' or state == 'stopped'
  return row and told.attempt > row[C.attempt] and row[C.placed_in] ~= cell[K.history] and not is_ended
    and told.history ~= cell[K.history] and row
end

-- A container that was given back already, and whose last owner says at last how its attempt was over.
local function correct(id, row, over, worker_id)
  if row[C.over][E.is_failure] and not over.is_failure then
    -- It was counted when it was given back; what turns out to be no failure was none.
    row[C.failures] = math.max(0, row[C.failures] - 1)
  end
  move(id, row, over.forever ~= '' and over.forever or row[C.state], nil, over.forever == '' and row[C.lot] or nil)
  row[C.over] = { over.what, over.forever, over.is_failure, row[C.attempt], worker_id, now }
end

-- Writes down an end of the newest attempt, from its owner, or from the last one while the container waits again. After
-- lost writes, an attempt that is not known here is the newest.
local function accept_end(worker_id, told)
  local lost = lost_attempt(told)
  local row = lost or newest(told)
  if not row then
    return 'dropped'
  end
  if lost then
    conclude(told.id, row, told.over, worker_id)
    row[C.attempt], row[C.placed_in] = told.attempt, told.history
    row[C.over][E.attempt] = told.attempt
  elseif row[C.place] then
    if row[C.place][P.worker] ~= worker_id then
      return 'dropped'
    end
    conclude(told.id, row, told.over, worker_id)
  else
    local last = row[C.over]
    if not last or last[E.attempt] ~= row[C.attempt] or last[E.worker] ~= worker_id then
      return 'dropped'
    elseif last[E.what] == told.over.what or row[C.state] ~= 'pending' then
      return 'accepted'
    end
    correct(told.id, row, told.over, worker_id)
  end
  if told.output then
    new_outputs[told.id] = told.output
  end
  return 'accepted'
end

-- Gives back what a lost worker owns, at most `limit` at once; what is to be kept, only once it is certain that it is gone.
local function give_back_all(worker_id, limit, is_certain)
  local moved = 0
  for _, mark in ipairs(owned_by(worker_id)) do
    local id = mark[2]
    local row = legible(id)
    if row then
      local stops = not is_taken(row) or row[C.state] == 'stopping' and row[C.cause] == 'stop'
      if is_certain or not row[C.keeps] or stops then
        if moved == limit then
          return { 'more', moved }
        end
        moved = moved + 1
        if is_taken(row) then
          conclude(id, row, found_end(WORKER_LOST), worker_id)
        else
          back_in_line(id, row)
        end
      end
    end
  end
  return { 'done', moved }
end

-- Puts back in line what a worker owns but was not yet told of.
local function give_back_placed(worker_id)
  for _, mark in ipairs(owned_by(worker_id)) do
    local row = legible(mark[2])
    if row and row[C.state] == 'placed' and row[C.place][P.worker] == worker_id and not is_taken(row) then
      back_in_line(mark[2], row)
    end
  end
end

-- Whether a call of a worker is accepted. Only an accepted call moves a deadline.
local function admit(row, caller)
  if row and caller.incarnation < row[W.incarnation] then
    return 'refused'
  elseif caller.history ~= cell[K.history] then
    return 'register'
  elseif not row then
    return 'removed'
  elseif row[W.registered] ~= cell[K.history] or caller.incarnation > row[W.incarnation] or row[W.life] == 'lost' then
    return 'register'
  end
  return 'ok'
end

-- Notices lost writes that any of these calls' workers has seen, before a call of another is admitted.
local function notice_all(calls)
  for _, one in ipairs(calls) do
    notice(one.caller.history, one.caller.revision)
  end
end

-- Admits a call and keeps its number, so that what moves the worker's deadline is seen by the planner.
local function admit_numbered(caller)
  local row = worker(caller.worker)
  local said = admit(row, caller)
  if said == 'ok' then
    -- One step may carry calls of the same worker, in any order.
    local known = numbers[caller.worker] or number_of(caller.worker)
    if caller.number > known then
      numbers[caller.worker] = caller.number
    end
  end
  return said, row
end

-- Writes what the step has decided, and puts into each answer of a call how far the cell is with it.
local function finish_calls(answers)
  local mark = finish()
  for _, answered in ipairs(answers) do
    answered.mark = answered.call == 'ok' and mark or { history_before, revision_before }
  end
end
