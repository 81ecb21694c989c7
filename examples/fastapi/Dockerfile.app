# One replica of the application. Built from this directory.
FROM python:3.12-slim
RUN pip install --no-cache-dir "fastapi>=0.110" "uvicorn>=0.29"
WORKDIR /srv
COPY app.py .
USER nobody
EXPOSE 8000
CMD ["uvicorn", "app:app", "--host", "0.0.0.0", "--port", "8000"]
